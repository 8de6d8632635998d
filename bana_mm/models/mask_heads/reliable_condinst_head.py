"""CondInst's mask head that learns from the reliable pixels only."""

from collections.abc import Sequence

import numpy as np
from mmdet.models.dense_heads import CondInstMaskHead
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from bana_mm.registry import MODELS
from bana_mm.structures import ReliableMasks


@MODELS.register_module()
class ReliableCondInstMaskHead(CondInstMaskHead):
    """mmdet's ``CondInstMaskHead`` with the dice loss on the reliable region S (ours).

    Unreliable pixels add nothing to the sums of which the dice loss is made; a mask without a reliable pixel adds no
    loss and is not counted. Where no pixel is unreliable, the loss is ``CondInstMaskHead``'s bit for bit.

    Args: See mmdet's ``CondInstMaskHead``. ``loss_mask`` must take logits and apply the sigmoid itself, as
        ``DiceLoss(use_sigmoid=True, activate=True)`` does.
    """

    def loss_by_feat(self, mask_preds: list[Tensor], *args, **kwargs) -> dict[str, Tensor]:
        """See ``CondInstMaskHead.loss_by_feat``; connected with every prediction even where all masks are left out."""
        losses = super().loss_by_feat(mask_preds, *args, **kwargs)
        losses['loss_mask'] = losses['loss_mask'] + sum(prediction[:0].sum() for prediction in mask_preds)
        return losses

    def _get_targets_single(
        self, mask_preds: Tensor, gt_instances: InstanceData, positive_info: InstanceData
    ) -> tuple[Tensor, Tensor | None, int]:
        """See ``CondInstMaskHead._get_targets_single``; logits outside S are -inf, targets 0."""
        masks = gt_instances.masks
        if not isinstance(masks, ReliableMasks) or not masks.unreliable.masks.any():
            return super()._get_targets_single(mask_preds, gt_instances, positive_info)
        # It picks proposals, maybe at random, and samples every stride-th pixel: once, for both planes, one over the
        # other.
        instances = InstanceData(bboxes=gt_instances.bboxes, masks=_one_over_the_other(masks, masks.unreliable))
        mask_preds, planes, number = super()._get_targets_single(mask_preds, instances, positive_info)
        if planes is None:
            return mask_preds, None, 0
        targets, unreliable = planes.chunk(2, dim=1)  # (n, h, w) each
        unreliable = unreliable > 0
        kept = ~unreliable.flatten(1).all(dim=1)
        mask_preds = mask_preds.masked_fill(unreliable, float('-inf'))
        return mask_preds[kept], targets.masked_fill(unreliable, 0)[kept], int(kept.sum())


def _one_over_the_other(*planes: Sequence[BitmapMasks]) -> BitmapMasks:
    """Planes of one size as one that is so many times as high; padded sizes are multiples of the stride."""
    stacked = np.concatenate([plane.masks for plane in planes], axis=1)
    return BitmapMasks(stacked, *stacked.shape[1:])
