"""Label maps from an image and its boxes, without a network."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import inside_boxes, pixel_boxes
from bana_mm.registry import LABEL_SOURCES

from .png import IGNORE

PixelBox = tuple[int, int, int, int]


def build_label_source(source: str | dict[str, Any]) -> 'LabelSource':
    """Build a label source by name or config, whatever the default scope is.

    Args:
        source (str | dict): ``'box'``, ``'grabcut'``, or a config such as ``dict(type='grabcut', iterations=3)``.

    Returns:
        LabelSource: The source.

    Raises:
        KeyError: If no source has that name.
    """
    config = dict(type=source) if isinstance(source, str) else dict(source)
    name = config.pop('type', None)
    source_class = LABEL_SOURCES.get(name) if isinstance(name, str) else None
    if source_class is None:
        raise KeyError(f'no label source is called {name!r}; there are {", ".join(sorted(LABEL_SOURCES.module_dict))}')
    return source_class(**config)


def label_from_instances(source: 'LabelSource', image: np.ndarray, instances: Sequence[dict[str, Any]]) -> np.ndarray:
    """The label map that a source makes of a dataset item.

    Args:
        source (LabelSource): The source.
        image (np.ndarray): (H, W, 3) uint8, RGB.
        instances (Sequence[dict]): Each with ``bbox`` (xyxy in pixel edges), ``bbox_label`` (0..L-1) and
            ``ignore_flag``, as mmengine's datasets hold them.

    Returns:
        np.ndarray: (H, W) uint8, 255 in pixels that lie in ignored boxes only.
    """
    def boxes(flag: bool) -> Tensor:
        chosen = [instance['bbox'] for instance in instances if bool(instance['ignore_flag']) == flag]
        return torch.tensor(chosen, dtype=torch.float64).reshape(-1, 4)

    labels = [instance['bbox_label'] + 1 for instance in instances if not instance['ignore_flag']]
    label_map = source(image, boxes(False).numpy(), np.array(labels, dtype=np.int64))
    size = image.shape[:2]
    label_map[(inside_boxes(boxes(True), size) & ~inside_boxes(boxes(False), size)).numpy()] = IGNORE
    return label_map


class LabelSource(ABC):
    """Paints one mask a box, the smallest box in front; a subclass says which pixels of a box are the object."""

    def __call__(self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Make the label map of an image.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            boxes (np.ndarray): (K, 4) float, xyxy in pixel edges, 0-based, half-open; rounded and clipped to the image.
            labels (np.ndarray): (K,) int, class indices 1..L.

        Returns:
            np.ndarray: (H, W) uint8, 0 outside the objects. Of two boxes of one size the later is in front.

        Raises:
            ValueError: If image, boxes or labels have another shape or type, or a box is not finite.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        labels = np.asarray(labels).reshape(-1)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')
        if len(boxes) != len(labels):
            raise ValueError(f'{len(boxes)} boxes but {len(labels)} labels')
        if not np.isfinite(boxes).all():
            raise ValueError(f'boxes must be finite, got {boxes.tolist()}')
        if len(labels) and not 1 <= labels.min() <= labels.max() < 255:
            raise ValueError(f'labels must lie in 1..254 (0 is background, 255 ignored), got {labels.tolist()}')

        height, width = image.shape[:2]
        whole = pixel_boxes(torch.from_numpy(boxes), (height, width)).numpy()
        area = (whole[:, 2] - whole[:, 0]) * (whole[:, 3] - whole[:, 1])
        label_map = np.zeros((height, width), dtype=np.uint8)
        for k in np.argsort(-area, kind='stable'):
            x1, y1, x2, y2 = box = tuple(whole[k].tolist())
            label_map[y1:y2, x1:x2][self.object_mask(image, box)] = labels[k]
        return label_map

    @abstractmethod
    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        """Which pixels of a box belong to its object.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            box (tuple[int, int, int, int]): x1, y1, x2, y2 in whole pixels, not empty, inside the image.

        Returns:
            np.ndarray: (y2 - y1, x2 - x1) bool.
        """


@LABEL_SOURCES.register_module(name=['box', 'BoxSource'])
class BoxSource(LabelSource):
    """The whole box is the object."""

    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        x1, y1, x2, y2 = box
        return np.ones((y2 - y1, x2 - x1), dtype=bool)


@LABEL_SOURCES.register_module(name=['grabcut', 'GrabCutSource'])
class GrabCutSource(LabelSource):
    """GrabCut (Rother et al. 2004, OpenCV's) started from each box: all outside is background for good.

    The whole box is taken where GrabCut has no chance (the box leaves no background, or is a few pixels large) and
    where it finds no object at all.

    Args:
        iterations (int): Rounds of fitting colours and cutting. Defaults to 5.
        min_pixels (int): Smaller boxes, in pixels, are taken as a whole, as are boxes that leave fewer pixels of
            background: below it the two colour models (5 Gaussians each) can't be fitted. Defaults to 16.
        seed (int): Seed of OpenCV's random numbers, set anew for each box. Defaults to 0.
    """

    def __init__(self, iterations: int = 5, min_pixels: int = 16, seed: int = 0) -> None:
        self.iterations = iterations
        self.min_pixels = min_pixels
        self.seed = seed

    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        x1, y1, x2, y2 = box
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
