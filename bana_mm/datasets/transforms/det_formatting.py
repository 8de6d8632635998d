"""Packing of images with boxes."""

import torch
from mmdet.datasets.transforms import PackDetInputs
from mmengine.structures import PixelData

from bana_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackBoxDetInputs(PackDetInputs):
    """mmdet's ``PackDetInputs`` that also packs what ``ImageLabels`` and ``KeepColours`` have left.

    The sample then has ``gt_image_labels`` and ``gt_image_unknown``, int64 tensors, and ``gt_colours``, ``PixelData``
    (3, H, W) uint8. Mask heads see nothing of a sample but its instances, whose metainfo therefore has the colours too.

    Args:
        meta_keys (Sequence[str]): Keys to put into the sample's metainfo. Defaults to mmdet's.
    """

    def transform(self, results: dict) -> dict:
        """Pack one image."""
        packed = super().transform(results)
        sample = packed['data_samples']
        for key in ('gt_image_labels', 'gt_image_unknown'):
            if key in results:
                sample.set_field(torch.from_numpy(results[key]), key)
        if 'gt_colours' in results:
            sample.gt_colours = PixelData(data=torch.from_numpy(results['gt_colours']))
            sample.gt_instances.set_field(sample.gt_colours.data, 'colours', field_type='metainfo')
        return packed
