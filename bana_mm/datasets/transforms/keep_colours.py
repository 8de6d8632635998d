"""Colours of an image before they are jittered."""

import numpy as np
from mmcv.transforms import BaseTransform

from bana_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KeepColours(BaseTransform):
    """Keep a copy of the image's colours for the feature similarity losses (ours).

    Comes after the transforms that move pixels and before those that change colours; ``PackBoxDetInputs`` and
    ``PackBoxSegInputs`` pass it on.

    Required Keys: ``img`` (H, W, 3) uint8 BGR. Added Keys: ``gt_colours`` (3, H, W) uint8 RGB.
    """

    def transform(self, results: dict) -> dict:
        """Copy ``results['img']``."""
        results['gt_colours'] = np.ascontiguousarray(results['img'][..., ::-1].transpose(2, 0, 1))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
