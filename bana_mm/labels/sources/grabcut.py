"""OpenCV's GrabCut from each box."""

import cv2
import numpy as np

from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask

from ..item import LabelItem
from .without_network import ObjectSource


@LABEL_SOURCES.register_module(name=['grabcut', 'GrabCutSource'])
class GrabCutSource(ObjectSource):
    """GrabCut (Rother et al. 2004, OpenCV's) started from each box: all outside is background for good.

    The whole box is taken where GrabCut has no chance (the box leaves no background, or is a few pixels large) and
    where it finds no object at all.

    Args:
        iterations (int): Rounds of fitting colours and cutting. Defaults to 5.
        min_pixels (int): Smaller boxes, in pixels, are taken as a whole, as are boxes that leave fewer pixels of
            background: below it the two colour models (5 Gaussians each) can't be fitted. Defaults to 16.
        seed (int): Seed of OpenCV's random numbers, set anew for each box. Defaults to 0.
    """

    name = 'grabcut'

    def __init__(self, iterations: int = 5, min_pixels: int = 16, seed: int = 0) -> None:
        self.iterations = iterations
        self.min_pixels = min_pixels
        self.seed = seed

    def object_mask(self, item: LabelItem, k: int) -> InstanceMask:
        return InstanceMask(self._cut(item.image, *item.layout.boxes[k].tolist()))

    def _cut(self, image: np.ndarray, x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
        whole_box = np.ones((y2 - y1, x2 - x1), dtype=bool)
        background = image.shape[0] * image.shape[1] - whole_box.size
        if min(whole_box.size, background) < self.min_pixels:
            return whole_box
        state = np.full(image.shape[:2], cv2.GC_BGD, dtype=np.uint8)
        state[y1:y2, x1:x2] = cv2.GC_PR_FGD
        cv2.setRNGSeed(self.seed)
        cv2.grabCut(np.ascontiguousarray(image), state, None, None, None, self.iterations, cv2.GC_INIT_WITH_MASK)
        found = state[y1:y2, x1:x2] == cv2.GC_PR_FGD
        return found if found.any() else whole_box
