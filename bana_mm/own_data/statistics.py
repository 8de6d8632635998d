"""What a data set is like: classes, sizes of images and boxes, backgrounds and masks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bana_mm.structures import BoxLayout

from .image_look import ImageLook
from .reading import Part

MIN_BACKGROUND = 0.125  # share of the pixels from which on background-aware pooling applies (bap_head.min_background)


@dataclass
class Spread:
    """How some figures are spread.

    Args:
        least, quarter, median, three_quarters, largest (float): The minimum, the quartiles, the maximum.
    """

    least: float
    quarter: float
    median: float
    three_quarters: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Of at least one figure."""
        return cls(*(float(value) for value in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))))


@dataclass
class ClassCount:
    """How often a class is there.

    Args:
        boxes (int): Its boxes.
        images (int): Images with such boxes.
        size (float | None): Median of its boxes' sizes, the root of their area in pixels; None without boxes.
        parts (dict[str, int]): Its boxes by part of the data.
    """

    boxes: int = 0
    images: int = 0
    size: float | None = None
    parts: dict[str, int] = field(default_factory=dict)


@dataclass
class Statistics:
    """What a data set is like.

    Args:
        images (dict[str, int]): Images by part, 'train', 'val' and 'test'.
        classes (dict[str, ClassCount]): By name, in the order of the classes.
        long_side (Spread): The images' longer sides in pixels.
        short_side (Spread): Their shorter sides.
        box_size (Spread | None): The boxes' sizes, the roots of their areas in pixels; None without boxes.
        box_share (Spread | None): These sizes over the longer side of the image.
        box_count (Spread): Boxes an image.
        without_boxes (int): Images without boxes, all background.
        without_background (int): Images that have no pixel outside all boxes.
        little_background (int): Images of which less than :data:`MIN_BACKGROUND` is outside all boxes, these included.
        masks (dict[str, int]): Images with a mask that can be read, by part.
        ignored (int): Boxes that are neither object nor background (crowds, other classes).
    """

    images: dict[str, int]
    classes: dict[str, ClassCount]
    long_side: Spread
    short_side: Spread
    box_size: Spread | None
    box_share: Spread | None
    box_count: Spread
    without_boxes: int
    without_background: int
    little_background: int
    masks: dict[str, int]
    ignored: int

    @property
    def total(self) -> int:
        """All images."""
        return sum(self.images.values())


def gather_statistics(parts: Sequence[Part], looks: Mapping[str, ImageLook]) -> Statistics:
    """Count and measure.

    Args:
        parts (Sequence[Part]): A data set with at least one image.
        looks (Mapping[str, ImageLook]): What is known of its pixels.

    Raises:
        ValueError: If there is no image.
    """
    items = [(part, item) for part in parts for item in part.items]
    if not items:
        raise ValueError('the data has no image that can be used')
    classes = {name: ClassCount(parts={part.mode: 0 for part in parts}) for name in parts[0].classes}
    of_class: dict[str, list[float]] = {name: [] for name in classes}
    sizes, shares, counts, background, ignored = [], [], [], [], 0
    for part, item in items:
        kept = [one for one in item['instances'] if not one['ignore_flag']]
        ignored += len(item['instances']) - len(kept)
        counts.append(len(kept))
        for one in kept:
            name = part.classes[one['bbox_label']]
            size = _box_size(one)
            sizes.append(size)
            of_class[name].append(size)
            shares.append(size / max(item['height'], item['width']))
            classes[name].parts[part.mode] += 1
        for name, count in Counter(part.classes[one['bbox_label']] for one in kept).items():
            classes[name].boxes += count
            classes[name].images += 1
        background.append(_background(item) if item['instances'] else 1.0)
    for name, found in of_class.items():
        classes[name].size = float(np.median(found)) if found else None
    sides = [sorted((item['height'], item['width'])) for _, item in items]
    return Statistics(
        images={part.mode: len(part.items) for part in parts},
        classes=classes,
        long_side=Spread.of([long for _, long in sides]),
        short_side=Spread.of([short for short, _ in sides]),
        box_size=Spread.of(sizes) if sizes else None,
        box_share=Spread.of(shares) if shares else None,
        box_count=Spread.of(counts),
        without_boxes=sum(not count for count in counts),
        without_background=sum(share == 0 for share in background),
        little_background=sum(share < MIN_BACKGROUND for share in background),
        masks={part.mode: sum(_has_mask(item, looks) for item in part.items) for part in parts},
        ignored=ignored,
    )


def _box_size(instance: Mapping[str, Any]) -> float:
    x1, y1, x2, y2 = instance['bbox']
    return float(np.sqrt((x2 - x1) * (y2 - y1)))


def _background(item: Mapping[str, Any]) -> float:
    """The share of an image's pixels that lie in no box, ignored ones included."""
    layout = BoxLayout.from_instances((item['height'], item['width']), item['instances'])
    return float(layout.background().float().mean())


def _has_mask(item: Mapping[str, Any], looks: Mapping[str, ImageLook]) -> bool:
    look = looks.get(item['img_path'])
    return look is not None and look.has_mask
