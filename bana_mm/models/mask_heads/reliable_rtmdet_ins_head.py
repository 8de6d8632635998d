"""RTMDet-Ins's head that learns masks from the reliable pixels only."""

from collections.abc import Sequence

from mmdet.models.dense_heads.rtmdet_ins_head import RTMDetInsSepBNHead
from mmengine.structures import InstanceData
from torch import Tensor

from bana_mm.registry import MODELS

from .reliable_targets import ReliableLoss, mark_unreliable, unreliable_planes


@MODELS.register_module()
class ReliableRTMDetInsSepBNHead(RTMDetInsSepBNHead):
    """mmdet's ``RTMDetInsSepBNHead`` with the dice loss on the reliable region S (ours).

    Unreliable pixels add nothing to the sums of which the dice loss is made; a mask without a reliable pixel adds no
    loss. Which points learn an instance follows from its whole mask, whose centre mmdet takes. Where no pixel is
    unreliable, the loss is ``RTMDetInsSepBNHead``'s bit for bit.

    Args: See mmdet's ``RTMDetInsSepBNHead``. ``loss_mask`` must take logits, as mmdet's ``DiceLoss`` does by default.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.loss_mask = ReliableLoss(self.loss_mask)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        kernel_preds: list[Tensor],
        mask_feat: Tensor,
        batch_gt_instances: Sequence[InstanceData],
        *args,
        **kwargs,
    ) -> dict[str, Tensor]:
        """See ``RTMDetInsHead.loss_by_feat``, which turns masks into tensors of one plane."""
        for instances in batch_gt_instances:
            unreliable = unreliable_planes(instances.masks, mask_feat.device)
            if unreliable is not None:
                instances.unreliable = unreliable
        return super().loss_by_feat(
            cls_scores, bbox_preds, kernel_preds, mask_feat, batch_gt_instances, *args, **kwargs
        )

    def loss_mask_by_feat(
        self,
        mask_feats: Tensor,
        flatten_kernels: Tensor,
        sampling_results_list: list,
        batch_gt_instances: Sequence[InstanceData],
    ) -> Tensor:
        """See ``RTMDetInsHead.loss_mask_by_feat``."""
        marked = [
            InstanceData(masks=mark_unreliable(instances.masks, instances.unreliable))
            if 'unreliable' in instances
            else instances
            for instances in batch_gt_instances
        ]
        return super().loss_mask_by_feat(mask_feats, flatten_kernels, sampling_results_list, marked)
