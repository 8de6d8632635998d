"""One mask a box, and how masks become a label map and a label map becomes masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .box_layout import BoxLayout
from .label_map import IGNORE


@dataclass(eq=False)
class InstanceMask:
    """The object in a box, on the pixels of the box.

    Args:
        mask (np.ndarray): (y2 - y1, x2 - x1) bool.
        unreliable (np.ndarray | None): (y2 - y1, x2 - x1) bool, pixels that are not to be trusted, inside the mask or
            outside. Defaults to None, none.
        score (float): For ranking masks, in [0, 1]. Defaults to 1.0.
    """

    mask: np.ndarray
    unreliable: np.ndarray = None  # type: ignore[assignment]  # an array once it is made
    score: float = 1.0

    def __post_init__(self) -> None:
        if self.unreliable is None:
            self.unreliable = np.zeros_like(self.mask)

    @classmethod
    def stand_in(cls, size: tuple[int, int]) -> 'InstanceMask':
        """What stands in for an object that was not found: the whole box, all of it unreliable, with the score 0.

        Args:
            size (tuple[int, int]): Height and width of the box in pixels.
        """
        return cls(np.ones(size, bool), np.ones(size, bool), score=0.0)

    @property
    def is_stand_in(self) -> bool:
        """Whether it stands in for an object that was not found."""
        return self.score == 0 and bool(self.mask.all()) and bool(self.unreliable.all())


def paint_masks(layout: BoxLayout, masks: Sequence[np.ndarray]) -> np.ndarray:
    """The label map of one mask a box, the smallest box in front; of two boxes of one size the later one.

    Args:
        layout (BoxLayout): Boxes and classes of the image.
        masks (Sequence[np.ndarray]): (y2 - y1, x2 - x1) bool, one a box.

    Returns:
        np.ndarray: (H, W) uint8, 0 outside the objects.
    """
    label_map = np.zeros(layout.size, dtype=np.uint8)
    classes = layout.box_classes
    for k, (x1, y1, x2, y2) in reversed(list(front_to_back(layout))):
        label_map[y1:y2, x1:x2][masks[k]] = classes[k]
    return label_map


def paint_instances(masks: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """The label map of masks of whole images, which need no box: the smallest mask in front, of two alike the later.

    Args:
        masks (np.ndarray): (K, H, W) bool.
        classes (Sequence[int]): K class indices in 1..L.

    Returns:
        np.ndarray: (H, W) uint8, 0 outside the objects.
    """
    label_map = np.zeros(masks.shape[1:], dtype=np.uint8)
    for k in np.argsort(-masks.sum(axis=(1, 2)), kind='stable').tolist():
        label_map[masks[k]] = classes[k]
    return label_map


def cut_masks(layout: BoxLayout, label_map: np.ndarray) -> list[InstanceMask]:
    """The object of each box in a label map (ours).

    A pixel of a class belongs to the smallest of the boxes of that class around it. Ignored pixels are unreliable. A
    box without a pixel of its own has its whole area as mask, all of it unreliable. The score is the share of the mask
    that is reliable.

    Args:
        layout (BoxLayout): Boxes and classes of the image.
        label_map (np.ndarray): (H, W) uint8, 0 background, 1..L classes, 255 ignored.

    Returns:
        list[InstanceMask]: One a box, of at least one pixel.

    Raises:
        ValueError: If the label map has another size than the image.
    """
    if label_map.shape != layout.size:
        raise ValueError(f'label map has shape {label_map.shape}, but its image {layout.size}')
    classes, free = layout.box_classes, np.ones(layout.size, dtype=bool)
    masks: dict[int, InstanceMask] = {}
    for k, (x1, y1, x2, y2) in front_to_back(layout):
        inside, free_inside = label_map[y1:y2, x1:x2], free[y1:y2, x1:x2]
        mask = (inside == classes[k]) & free_inside
        free_inside &= ~mask
        if mask.any():
            # The ignored pixels are not in the mask, so all of it is reliable.
            masks[k] = InstanceMask(mask, inside == IGNORE)
        else:
            masks[k] = InstanceMask.stand_in(mask.shape)
    return [masks[k] for k in range(len(classes))]


def smallest_in_front(layout: BoxLayout, masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Give pixels of several masks to the one with the smallest box; of two boxes of one size the later is in front.

    A mask of which nothing would be left stays as it is.

    Args:
        layout (BoxLayout): Boxes of the image.
        masks (Sequence[np.ndarray]): (y2 - y1, x2 - x1) bool, one a box.

    Returns:
        list[np.ndarray]: The same without overlaps but for such masks.
    """
    taken = np.zeros(layout.size, bool)
    result = list(masks)
    for k, (x1, y1, x2, y2) in front_to_back(layout):
        inside = taken[y1:y2, x1:x2]
        visible = masks[k] & ~inside
        if visible.any():
            result[k] = visible
        inside |= masks[k]
    return result


def front_to_back(layout: BoxLayout) -> Iterator[tuple[int, list[int]]]:
    """Number and corners of each box: the smallest first, of boxes of one size the later one."""
    boxes = layout.boxes.tolist()
    for k in np.lexsort([-np.arange(len(boxes)), layout.areas]).tolist():
        yield k, boxes[k]
