"""Packing of images with pseudo labels."""

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs

from bana_mm.registry import TRANSFORMS
from bana_mm.structures import IGNORE


@TRANSFORMS.register_module()
class PackBoxSegInputs(PackSegInputs):
    """mmseg's ``PackSegInputs`` that packs ``gt_reliable_map`` too, as bool ``PixelData`` (1, H, W).

    It also packs ``gt_colours`` (``KeepColours``), as uint8 ``PixelData`` (3, H, W).

    A reliable map smaller than the label is padded at the bottom and right, which is what mmcv's ``Pad`` does to the
    label alone; padding is ignored there, so its reliability doesn't matter.

    Args:
        meta_keys (Sequence[str]): Keys to put into the sample's metainfo. Defaults to mmseg's.

    Raises:
        ValueError: If a pixel that counts as reliable has no label: a transform moved one of the two maps alone.
    """

    def transform(self, results: dict) -> dict:
        """Pack one image."""
        packed = super().transform(results)
        if 'gt_reliable_map' in results:
            label = results['gt_seg_map']
            reliable = np.zeros(label.shape, dtype=bool)
            given = results['gt_reliable_map']
            if given.shape[0] > label.shape[0] or given.shape[1] > label.shape[1]:
                raise ValueError(self._message(results))
            reliable[: given.shape[0], : given.shape[1]] = given == 1  # rotations fill the map with 255
            if (reliable & (label == IGNORE)).any():
                raise ValueError(self._message(results))
            packed['data_samples'].gt_reliable_map = PixelData(data=torch.from_numpy(reliable[None]))
        if 'gt_colours' in results:
            packed['data_samples'].gt_colours = PixelData(data=torch.from_numpy(results['gt_colours']))
        return packed

    @staticmethod
    def _message(results: dict) -> str:
        return (
            f'{results.get("img_path")}: gt_reliable_map does not lie on gt_seg_map any more. Use transforms that '
            "follow seg_fields (mmseg's Resize, RandomCrop and RandomFlip do), and Pad after them"
        )
