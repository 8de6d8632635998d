"""Mask2Former's heads that learn masks from the reliable pixels only."""

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.task_modules.assigners.match_cost import ClassificationCost
from mmengine.structures import InstanceData
from torch import Tensor

from bana_mm.registry import MODELS

from .reliable_targets import ReliableCost, ReliableLoss, mark_unreliable, unreliable_planes


class ReliablePoints:
    """What turns a ``Mask2FormerHead`` of mmdet or mmseg into one that leaves NaN targets out, of losses and matching.

    Comes before the head among the bases.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.loss_mask, self.loss_dice = ReliableLoss(self.loss_mask), ReliableLoss(self.loss_dice)
        assigner = getattr(self, 'assigner', None)
        if assigner is not None:  # there is one in training only
            assigner.match_costs = [
                cost if isinstance(cost, ClassificationCost) else ReliableCost(cost) for cost in assigner.match_costs
            ]


@MODELS.register_module()
class ReliableMask2FormerHead(ReliablePoints, Mask2FormerHead):
    """mmdet's ``Mask2FormerHead`` with matching and both mask losses on the reliable region S (ours).

    A point at which masks are sampled does not count where one of the pixels around it is unreliable: neither in the
    costs by which predictions are matched with instances, nor in the dice loss, nor in the cross entropy, which is the
    mean over the other points. An instance without a reliable point is matched by its class, and adds no mask loss.
    Where no pixel is unreliable, the losses are ``Mask2FormerHead``'s bit for bit.

    Args: See mmdet's ``Mask2FormerHead``. The mask losses must take logits, as in mmdet's configs.
    """

    def preprocess_gt(
        self, batch_gt_instances: Sequence[InstanceData], batch_gt_semantic_segs: Sequence[Tensor | None]
    ) -> list[InstanceData]:
        """See ``MaskFormerHead.preprocess_gt``; masks are NaN where they are not to be trusted."""
        results = super().preprocess_gt(batch_gt_instances, batch_gt_semantic_segs)
        for result, given in zip(results, batch_gt_instances):
            unreliable = unreliable_planes(given.masks, result.masks.device)
            if unreliable is not None:
                stuff = torch.zeros_like(result.masks[len(unreliable) :], dtype=torch.bool)  # comes after the objects
                result.masks = mark_unreliable(result.masks, torch.cat([unreliable, stuff]))
        return results
