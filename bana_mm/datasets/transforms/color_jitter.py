"""Colour jitter as in the reference code."""

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from bana_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Scale brightness, contrast and saturation, in this order, by independent factors (reference code), and turn hues.

    Required Keys: ``img`` (H, W, 3) uint8 BGR. Modified Keys: ``img``.

    Args:
        brightness (float): Factors are drawn from U(max(0, 1 - brightness), 1 + brightness). Defaults to 0.5.
        contrast (float): Likewise, about the image's mean grey value. Defaults to 0.5.
        saturation (float): Likewise, about each pixel's grey value. Defaults to 0.5.
        hue (float): Last, hues are turned by U(-hue, hue) of the colour circle, as in code of SEAM's line. Defaults to
            0.0, not at all.
    """

    def __init__(
        self, brightness: float = 0.5, contrast: float = 0.5, saturation: float = 0.5, hue: float = 0.0
    ) -> None:
        self.strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
        for name, strength in dict(self.strengths, hue=hue).items():
            if strength < 0:
                raise ValueError(f'{name} must not be negative, got {strength}')
        self.hue = hue

    @cache_randomness
    def _factors(self) -> list[float]:
        return [np.random.uniform(max(0.0, 1 - s), 1 + s) for s in self.strengths.values()]

    @cache_randomness
    def _turn(self) -> float:
        return np.random.uniform(-self.hue, self.hue)

    def transform(self, results: dict) -> dict:
        """Jitter ``results['img']``."""
        img = results['img']
        for adjust, factor in zip((mmcv.adjust_brightness, mmcv.adjust_contrast, mmcv.adjust_color), self._factors()):
            img = adjust(img, factor)
        if self.hue:
            img = _turn_hues(img, self._turn())
        results['img'] = img
        return results

    def __repr__(self) -> str:
        strengths = dict(self.strengths, hue=self.hue)
        return f'{type(self).__name__}({", ".join(f"{k}={v}" for k, v in strengths.items())})'


def _turn_hues(img: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hues of an image (H, W, 3) uint8 BGR by a share of the circle (mmcv's fails for negative ones)."""
    hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV_FULL)  # the circle is 256 steps
    hsv[..., 0] += np.uint8(round(turn * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
