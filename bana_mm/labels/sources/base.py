"""What every source of label maps has in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bana_mm.functional import inside_boxes, pixel_boxes
from bana_mm.labels.png import IGNORE

PixelBox = tuple[int, int, int, int]


class LabelSource(ABC):
    """Makes the label map of an image from its boxes, or looks it up.

    An instance holds its parameters as attributes and nothing else, so that it is quick to send to a worker process.

    Attributes:
        name (str): What :func:`bana_mm.labels.build_label_source` calls it.
        text_fields (tuple[str, ...]): Parameters that follow the name in its short form ``NAME:VALUE:...``.
    """

    name: str
    text_fields: tuple[str, ...] = ()

    def __call__(
        self,
        image: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        img_id: str | None = None,
        ignored: np.ndarray | None = None,
    ) -> np.ndarray:
        """Make the label map of an image.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            boxes (np.ndarray): (K, 4) float, xyxy in pixel edges, 0-based, half-open; rounded and clipped to the image.
            labels (np.ndarray): (K,) int, class indices 1..L.
            img_id (str | None): Id of the image, for sources that look its labels up. Defaults to None.
            ignored (np.ndarray | None): (J, 4) float, boxes of objects that are neither to be found nor background.
                Defaults to None.

        Returns:
            np.ndarray: (H, W) uint8, the caller's own. 0 background, 255 ignored, as are pixels that lie in ignored
            boxes only.

        Raises:
            ValueError: If image, boxes or labels have another shape or type, or a box is not finite.
        """
        boxes, ignored = (
            np.ascontiguousarray(given, dtype=np.float64).reshape(-1, 4)
            for given in (boxes, () if ignored is None else ignored)
        )
        labels = np.asarray(labels).reshape(-1)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')
        if len(boxes) != len(labels):
            raise ValueError(f'{len(boxes)} boxes but {len(labels)} labels')
        for given in (boxes, ignored):
            if not np.isfinite(given).all():
                raise ValueError(f'boxes must be finite, got {given.tolist()}')
        if len(labels) and not 1 <= labels.min() <= labels.max() < 255:
            raise ValueError(f'labels must lie in 1..254 (0 is background, 255 ignored), got {labels.tolist()}')

        size = image.shape[:2]
        boxes, ignored = (pixel_boxes(torch.from_numpy(given), size) for given in (boxes, ignored))
        label_map = self.label_map(image, boxes.numpy(), labels, img_id, ignored.numpy())
        if len(ignored):
            label_map[(inside_boxes(ignored, size) & ~inside_boxes(boxes, size)).numpy()] = IGNORE
        return label_map

    @abstractmethod
    def label_map(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None, ignored: np.ndarray
    ) -> np.ndarray:
        """What :meth:`__call__` returns, from checked input.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            boxes (np.ndarray): (K, 4) int64, xyxy in whole pixels, not empty, inside the image.
            labels (np.ndarray): (K,) int, class indices 1..L.
            img_id (str | None): Id of the image.
            ignored (np.ndarray): (J, 4) int64, as ``boxes``. Their pixels are marked by :meth:`__call__`.

        Returns:
            np.ndarray: (H, W) uint8, the caller's own.
        """

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        """Those of the images that are known to have no labels here, before any is read."""
        return []

    def describe(self) -> dict[str, Any]:
        """Name and parameters, JSON-like: two sources with the same description make the same labels."""
        parameters = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}
        return dict(type=self.name, **parameters)

    def __repr__(self) -> str:
        fields = ', '.join(f'{name}={value!r}' for name, value in vars(self).items())
        return f'{type(self).__name__}({fields})'


def paint_smallest_in_front(
    size: tuple[int, int], boxes: np.ndarray, labels: np.ndarray, object_mask: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Label map of one mask a box. Of two boxes of one size the later is in front.

    Args:
        size (tuple[int, int]): Height and width of the image in pixels.
        boxes (np.ndarray): (K, 4) int64, xyxy in whole pixels, not empty, inside the image.
        labels (np.ndarray): (K,) int, class indices 1..L.
        object_mask (Callable[[int], np.ndarray]): Which pixels of a box are its object, (y2 - y1, x2 - x1) bool, from
            the number of the box.

    Returns:
        np.ndarray: (H, W) uint8, 0 outside the objects.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    label_map = np.zeros(size, dtype=np.uint8)
    for k in np.argsort(-area, kind='stable'):
        x1, y1, x2, y2 = boxes[k]
        label_map[y1:y2, x1:x2][object_mask(k)] = labels[k]
    return label_map


class ObjectSource(LabelSource):
    """Looks for the object in one box after the other, and paints them, the smallest box in front."""

    def label_map(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None, ignored: np.ndarray
    ) -> np.ndarray:
        return paint_smallest_in_front(
            image.shape[:2], boxes, labels, lambda k: self.object_mask(image, tuple(boxes[k].tolist()))
        )

    @abstractmethod
    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        """Which pixels of a box belong to its object.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            box (tuple[int, int, int, int]): x1, y1, x2, y2 in whole pixels, not empty, inside the image.

        Returns:
            np.ndarray: (y2 - y1, x2 - x1) bool.
        """
