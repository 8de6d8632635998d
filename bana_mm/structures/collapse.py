"""Classes whose masks say no more than their boxes, or nothing at all, counted (ours).

A source that finds no object often falls back to the whole box, and a network that learns from such masks draws boxes;
a CRF that smooths everything away leaves a class without a pixel. The mean IoU of all classes hardly shows it when it
happens to one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .box_layout import BoxLayout
from .instance_mask import InstanceMask, front_to_back


def fills(mask: np.ndarray, room: np.ndarray | None = None, min_fill: float = 0.99) -> bool:
    """Whether a mask is as good as all that it could be.

    Args:
        mask (np.ndarray): (h, w) bool, on the pixels of its box.
        room (np.ndarray | None): (h, w) bool, the pixels that are not hidden by other boxes. Defaults to None, all.
        min_fill (float): Share of them that the mask must have. Defaults to 0.99.
    """
    if room is None:
        return mask.mean() >= min_fill
    return bool(room.any()) and mask[room].mean() >= min_fill


def whole_regions(label_map: np.ndarray, class_index: int, min_pixels: int = 64, min_fill: float = 0.99) -> list[bool]:
    """The connected regions of a class in a label map: which of them are rectangles.

    Regions that reach to three or four edges of the map are not counted: an image full of one object looks the same.

    Args:
        label_map (np.ndarray): (H, W) uint8.
        class_index (int): The class.
        min_pixels (int): Smaller regions are not counted. Defaults to 64.
        min_fill (float): Share of its bounding box that a rectangle fills. Defaults to 0.99.

    Returns:
        list[bool]: One a region.
    """
    height, width = label_map.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats((label_map == class_index).astype(np.uint8), connectivity=4)
    found = []
    for x, y, w, h, area in stats[1:].tolist():
        edges = (x == 0) + (y == 0) + (x + w == width) + (y + h == height)
        if area >= min_pixels and edges <= 2:
            found.append(area >= min_fill * w * h)
    return found


@dataclass
class CollapseRule:
    """When a class counts as collapsed.

    Args:
        min_masks (int): At least this many masks of it were seen. Defaults to 10.
        max_share (float): More than this share of them are whole rectangles, or more than this share are empty.
            Defaults to 0.5.
    """

    min_masks: int = 10
    max_share: float = 0.5


class CollapseCounts:
    """How many masks of each class are whole rectangles, and how many empty.

    Counts of several processes are added up with ``+``.

    Args:
        num_classes (int): Number L of object classes.

    Attributes:
        counts (np.ndarray): (L + 1, 3) int64 by class index: masks, whole rectangles, empty ones. Row 0 stays empty.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros((num_classes + 1, 3), dtype=np.int64)

    def add(self, class_index: int, whole: bool = False, empty: bool = False) -> None:
        """Count a mask.

        Args:
            class_index (int): Its class, 1..L.
            whole (bool): Whether it is a whole rectangle. Defaults to False.
            empty (bool): Whether it is empty, or stands in for one that is. Defaults to False.

        Raises:
            ValueError: If the class is out of range.
        """
        if not 1 <= class_index < len(self.counts):
            raise ValueError(f'class_index must lie in 1..{len(self.counts) - 1}, got {class_index}')
        self.counts[class_index] += (1, whole and not empty, empty)

    def add_masks(
        self, layout: BoxLayout, masks: Sequence[InstanceMask], min_pixels: int = 64, min_fill: float = 0.99
    ) -> None:
        """Count the masks of an image.

        Pixels that a smaller box covers say nothing about a larger one: they may have been given to the smaller.

        Args:
            layout (BoxLayout): Its boxes and classes.
            masks (Sequence[InstanceMask]): One a box.
            min_pixels (int): Boxes of which fewer pixels say something are not counted: a small object may well look
                like a rectangle. Defaults to 64.
            min_fill (float): See :func:`fills`. Defaults to 0.99.
        """
        classes, covered = layout.box_classes, np.zeros(layout.size, dtype=bool)
        for k, (x1, y1, x2, y2) in front_to_back(layout):
            room = ~covered[y1:y2, x1:x2]
            if np.count_nonzero(room) >= min_pixels:
                self.add(classes[k], fills(masks[k].mask, room, min_fill), masks[k].is_stand_in)
            covered[y1:y2, x1:x2] = True

    def __add__(self, other: 'CollapseCounts') -> 'CollapseCounts':
        total = CollapseCounts(len(self.counts) - 1)
        total.counts = self.counts + other.counts
        return total

    def collapsed(self, rule: CollapseRule | None = None) -> dict[int, str]:
        """What is wrong with which class.

        Args:
            rule (CollapseRule | None): Defaults to None, its defaults.

        Returns:
            dict[int, str]: 'whole' or 'empty' by class index; whatever is more frequent.
        """
        rule = rule or CollapseRule()
        found = {}
        for index, (masks, whole, empty) in enumerate(self.counts.tolist()):
            if masks >= max(rule.min_masks, 1) and max(whole, empty) > rule.max_share * masks:
                found[index] = 'whole' if whole >= empty else 'empty'
        return found

    def messages(
        self, names: Sequence[str], advice: dict[str, str], what: str = 'masks', rule: CollapseRule | None = None
    ) -> list[str]:
        """A line for each collapsed class.

        Args:
            names (Sequence[str]): Of the classes 1..L.
            advice (dict[str, str]): What to do about 'whole' and 'empty' ones.
            what (str): What was counted, in the plural. Defaults to 'masks'.
            rule (CollapseRule | None): Defaults to None, its defaults.
        """
        lines = []
        for index, kind in self.collapsed(rule).items():
            masks, *numbers = self.counts[index].tolist()
            number = numbers[0] if kind == 'whole' else numbers[1]
            state = 'whole rectangles' if kind == 'whole' else 'empty'
            lines.append(f'{names[index - 1]}: {number} of {masks} {what} are {state}; {advice[kind]}')
        return lines
