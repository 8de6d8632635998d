"""SOLOv2's head that learns masks from the reliable pixels only."""

import mmcv
import torch
from mmdet.models.dense_heads import SOLOV2Head
from mmengine.structures import InstanceData
from torch import Tensor

from bana_mm.registry import MODELS
from bana_mm.structures import ReliableMasks

from .reliable_targets import ReliableLoss, mark_unreliable


@MODELS.register_module()
class ReliableSOLOV2Head(SOLOV2Head):
    """mmdet's ``SOLOV2Head`` with the dice loss on the reliable region S (ours).

    Unreliable pixels are scaled as the masks are, a cell of a target being unreliable where at least half of it is, and
    add nothing to the sums of which the dice loss is made; a mask without a reliable cell adds no loss. Which cells of
    the grid learn an instance follows from its whole mask, as in mmdet. Where no pixel is unreliable, the loss is
    ``SOLOV2Head``'s bit for bit.

    Args: See mmdet's ``SOLOV2Head``. ``loss_mask`` must take logits, as mmdet's ``DiceLoss`` does by default.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.loss_mask = ReliableLoss(self.loss_mask)

    def _get_targets_single(self, gt_instances: InstanceData, featmap_sizes: list | None = None) -> tuple:
        """See ``SOLOV2Head._get_targets_single``; mask targets are NaN where they are not to be trusted."""
        targets, *others = super()._get_targets_single(gt_instances, featmap_sizes)
        masks = gt_instances.masks
        if not isinstance(masks, ReliableMasks) or not masks.unreliable.masks.any():
            return (targets, *others)
        height, width = featmap_sizes
        cells = torch.zeros(len(masks), height, width, dtype=torch.bool)
        for plane, pixels in zip(cells, masks.unreliable.masks):
            scaled = mmcv.imrescale(pixels, scale=1.0 / self.mask_stride)
            plane[: scaled.shape[0], : scaled.shape[1]] = torch.from_numpy(scaled > 0)
        # Targets come one instance after the other; how many an instance has, its targets alone tell.
        numbers = [
            [len(level) for level in self._indices_of(gt_instances, n, featmap_sizes)] for n in range(len(masks))
        ]
        marked = []
        for level, of_level in zip(targets, zip(*numbers)):
            owners = torch.arange(len(masks)).repeat_interleave(torch.tensor(of_level))
            marked.append(mark_unreliable(level, cells[owners].to(level.device)))
        return (marked, *others)

    def _indices_of(self, gt_instances: InstanceData, index: int, featmap_sizes: list) -> list[list[int] | Tensor]:
        """The cells of the grids that learn one instance, by level."""
        one = slice(index, index + 1)
        alone = InstanceData(
            bboxes=gt_instances.bboxes[one], labels=gt_instances.labels[one], masks=gt_instances.masks[one]
        )
        return super()._get_targets_single(alone, featmap_sizes)[3]
