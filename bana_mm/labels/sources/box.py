"""Whole boxes."""

import numpy as np

from bana_mm.registry import LABEL_SOURCES

from .base import ObjectSource, PixelBox


@LABEL_SOURCES.register_module(name=['box', 'BoxSource'])
class BoxSource(ObjectSource):
    """The whole box is the object."""

    name = 'box'

    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        x1, y1, x2, y2 = box
        return np.ones((y2 - y1, x2 - x1), dtype=bool)
