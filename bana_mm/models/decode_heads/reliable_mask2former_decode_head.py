"""mmseg's Mask2Former that learns from the reliable pixels only. Needs mmdet, as mmseg's own does."""

from collections.abc import Sequence

from mmengine.structures import InstanceData
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.structures import SegDataSample

from bana_mm.models.mask_heads.reliable_mask2former_head import ReliablePoints
from bana_mm.models.mask_heads.reliable_targets import mark_unreliable
from bana_mm.registry import MODELS

from .cosine_head import stack_reliable


@MODELS.register_module()
class ReliableMask2FormerDecodeHead(ReliablePoints, Mask2FormerHead):
    """mmseg's ``Mask2FormerHead`` that leaves out pixels outside S, and those that the labels ignore (ours).

    It is what ``NoiseAwareLoss(balance=0)`` is to other heads; the noise-aware loss itself needs a weight vector for
    each class to compare a pixel's feature with, and this head has queries in their place. Matching and mask losses are
    those of :class:`ReliableMask2FormerHead`. A class that unreliable pixels alone have is still learned as one that
    the image has. Pixels of ``ignore_index``, which mmseg's head takes for the outside of every class, count nowhere.
    Where all pixels are reliable and none is ignored, the losses are ``Mask2FormerHead``'s bit for bit.

    Args: See mmseg's ``Mask2FormerHead``.
    """

    def _seg_data_to_instance_data(
        self, batch_data_samples: Sequence[SegDataSample]
    ) -> tuple[list[InstanceData], list[dict]]:
        """See ``Mask2FormerHead._seg_data_to_instance_data``; masks are NaN where they are not to be trusted."""
        batch_gt_instances, batch_img_metas = super()._seg_data_to_instance_data(batch_data_samples)
        for instances, sample, reliable in zip(
            batch_gt_instances, batch_data_samples, stack_reliable(batch_data_samples)
        ):
            left_out = ~reliable | (sample.gt_sem_seg.data[0] == self.ignore_index)
            if left_out.any():
                instances.masks = mark_unreliable(instances.masks, left_out)
        return batch_gt_instances, batch_img_metas
