"""Small remains of boxes after cropping."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import get_box_tensor

from bana_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class IgnoreSmallBoxes(BaseTransform):
    """Mark boxes that are too small as ignored instead of dropping them, so they do not become background.

    Required Keys: ``gt_bboxes``, ``gt_ignore_flags``. Modified Keys: ``gt_ignore_flags``.

    Args:
        min_size (float): Boxes narrower or lower than this many pixels are ignored. Defaults to 1.0.
    """

    def __init__(self, min_size: float = 1.0) -> None:
        self.min_size = min_size

    def transform(self, results: dict) -> dict:
        """Update ``results['gt_ignore_flags']``."""
        boxes = get_box_tensor(results['gt_bboxes'])
        small = ((boxes[:, 2:] - boxes[:, :2]) < self.min_size).any(dim=1).numpy()
        results['gt_ignore_flags'] = np.logical_or(results['gt_ignore_flags'], small)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(min_size={self.min_size})'
