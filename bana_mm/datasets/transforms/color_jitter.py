"""Colour jitter as in the reference code."""

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from bana_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Scale brightness, contrast and saturation, in this order, by independent factors (reference code).

    Required Keys: ``img`` (H, W, 3) uint8 BGR. Modified Keys: ``img``.

    Args:
        brightness (float): Factors are drawn from U(max(0, 1 - brightness), 1 + brightness). Defaults to 0.5.
        contrast (float): Likewise, about the image's mean grey value. Defaults to 0.5.
        saturation (float): Likewise, about each pixel's grey value. Defaults to 0.5.
    """

    def __init__(self, brightness: float = 0.5, contrast: float = 0.5, saturation: float = 0.5) -> None:
        self.strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
        for name, strength in self.strengths.items():
            if strength < 0:
                raise ValueError(f'{name} must not be negative, got {strength}')

    @cache_randomness
    def _factors(self) -> list[float]:
        return [np.random.uniform(max(0.0, 1 - s), 1 + s) for s in self.strengths.values()]

    def transform(self, results: dict) -> dict:
        """Jitter ``results['img']``."""
        img = results['img']
        for adjust, factor in zip((mmcv.adjust_brightness, mmcv.adjust_contrast, mmcv.adjust_color), self._factors()):
            img = adjust(img, factor)
        results['img'] = img
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{k}={v}" for k, v in self.strengths.items())})'
