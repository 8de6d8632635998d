"""Labels of a smaller copy of an image as labels of the image itself (ours)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from bana_mm.structures import IGNORE, BoxLayout, InstanceMask, smallest_in_front
from bana_mm.structures.label_map import values_of

from .guided_border import Enlarging, GuidedMask, Rect, tiles
from .item import LabelItem


def enlarged_maps(
    item: LabelItem, small: LabelItem, maps: Mapping[str, np.ndarray], in_boxes: bool = True
) -> dict[str, np.ndarray]:
    """Label maps of an image from those of its smaller copy.

    A pixel has the class of the nearest pixel of the copy; along borders between labels the colours of the image decide
    anew. A class counts inside its own boxes only, and a box that has a pixel of its class in the copy has one here.

    Args:
        item (LabelItem): The image.
        small (LabelItem): The copy, of :meth:`LabelItem.at_working_size`.
        maps (Mapping[str, np.ndarray]): (h, w) uint8 each, 0 background, 1..L classes, 255 ignored.
        in_boxes (bool): Whether labels are held to the boxes. Defaults to True.

    Returns:
        dict[str, np.ndarray]: (H, W) uint8 each.
    """
    return {name: _enlarged_map(item, small, one, in_boxes) for name, one in maps.items()}


def enlarged_masks(item: LabelItem, small: LabelItem, masks: Sequence[InstanceMask]) -> list[InstanceMask]:
    """Masks of the boxes of an image from those of its smaller copy.

    As :func:`enlarged_maps`, box by box: a mask has a pixel at least, one that is its whole box stays that, and masks
    that don't overlap in the copy don't overlap here. Unreliable pixels are the nearest ones.

    Args:
        item, small: See :func:`enlarged_maps`.
        masks (Sequence[InstanceMask]): Of the copy, one a box; further fields of a subclass are kept.

    Returns:
        list[InstanceMask]: One a box.
    """
    boxes = zip(item.layout.boxes.tolist(), small.layout.boxes.tolist(), masks)
    found = [_enlarged_mask(item, small, box, part, one) for box, part, one in boxes]
    if len(found) > 1 and not _overlap(small.layout, masks):
        apart = smallest_in_front(item.layout, [one.mask for one in found])
        found = [replace(one, mask=mask) for one, mask in zip(found, apart)]
    return found


def _enlarged_map(item: LabelItem, small: LabelItem, label: np.ndarray, in_boxes: bool) -> np.ndarray:
    enlarging = Enlarging(item.layout.size, small.layout.size)
    known, ignored = _without_ignored(label), label == IGNORE
    boxes = _boxes_by_class(item.layout) if in_boxes else {}
    regions = _boxes_by_class(small.layout) if in_boxes else {}
    guided = {}
    for index in values_of(known).tolist():
        if index == 0 or (in_boxes and index not in boxes):
            continue
        inside = _painted(regions[index], (0, 0, *label.shape[::-1])) if in_boxes else None
        guided[index] = GuidedMask(enlarging, small.image, known == index, inside)
    result = np.zeros(item.layout.size, np.uint8)
    height, width = item.layout.size
    for rect in tiles((0, 0, width, height)):
        x1, y1, x2, y2 = rect
        allowed = {index: _painted(boxes[index], rect) if in_boxes else None for index in guided}
        nearest = enlarging.take(known, rect)
        part = np.zeros_like(nearest)
        for index, inside in allowed.items():
            part[(nearest == index) if inside is None else (nearest == index) & inside] = index
        if any(one.has_border(rect) for one in guided.values()):
            _decide_anew(part, item.image[y1:y2, x1:x2], rect, enlarging, guided, allowed)
        unsure = enlarging.take(ignored, rect)
        if in_boxes and unsure.any():
            unsure &= _painted([box for of_class in boxes.values() for box in of_class], rect)
        part[unsure] = IGNORE
        result[y1:y2, x1:x2] = part
    if in_boxes:
        _restore_boxes(result, item.layout, small.layout, label, enlarging)
    return result


def _decide_anew(
    part: np.ndarray,
    pixels: np.ndarray,
    rect: Rect,
    enlarging: Enlarging,
    guided: Mapping[int, GuidedMask],
    allowed: Mapping[int, np.ndarray | None],
) -> None:
    """Change the labels of a tile along borders to the class with the highest score, or background."""
    band = np.zeros(part.shape, bool)
    background, scores = np.ones(part.shape, np.float32), {}
    for index, one in guided.items():
        if one.has_border(rect):
            score = one.score(rect, pixels)
            band |= enlarging.take(one.band, rect)
        else:
            score = enlarging.take(one.mask, rect).astype(np.float32)
        inside = allowed[index]
        scores[index] = score if inside is None else np.where(inside, score, 0)
        background -= scores[index]
    best, anew = background, np.zeros_like(part)
    for index, score in scores.items():
        better = score > best
        best = np.where(better, score, best)
        anew[better] = index
    part[band] = anew[band]


def _enlarged_mask(
    item: LabelItem, small: LabelItem, box: list[int], small_box: list[int], one: InstanceMask
) -> InstanceMask:
    enlarging = Enlarging(item.layout.size, small.layout.size)
    x1, y1, x2, y2 = box
    left, top, right, bottom = small_box
    rect, corner = (x1, y1, x2, y2), (left, top)
    planes = {  # of a subclass maybe further ones
        name: enlarging.take(value, rect, corner)
        for name, value in vars(one).items()
        if isinstance(value, np.ndarray) and value.shape == one.mask.shape
    }
    mask, guided = planes['mask'], GuidedMask(enlarging, small.image[top:bottom, left:right], one.mask, None, corner)
    for tile in tiles(rect):
        if guided.has_border(tile):
            a, b, c, d = tile
            part = mask[b - y1 : d - y1, a - x1 : c - x1]
            score = guided.score(tile, item.image[b:d, a:c])
            part[:] = np.where(enlarging.take(guided.band, tile, corner), score > 0.5, part)
    if not mask.any():
        nearest = enlarging.take(one.mask, rect, corner)
        mask[:] = nearest if nearest.any() else True
    return replace(one, **planes)


def _restore_boxes(
    result: np.ndarray, layout: BoxLayout, small: BoxLayout, label: np.ndarray, enlarging: Enlarging
) -> None:
    """Give boxes that have lost all pixels of their class the nearest ones, or the whole box where there are none.

    Those are boxes of about a pixel of the copy, of which it shows one where several share a pixel.
    """
    boxes, small_boxes = layout.boxes.tolist(), small.boxes.tolist()
    for k in np.argsort(layout.areas, kind='stable')[::-1]:
        (x1, y1, x2, y2), index = boxes[k], layout.box_classes[k]
        part = result[y1:y2, x1:x2]
        if (part == index).any():
            continue
        left, top, right, bottom = small_boxes[k]
        seen = (label[top:bottom, left:right] == index).any()
        if seen or (right - left <= 2 and bottom - top <= 2):
            nearest = enlarging.take(label, (x1, y1, x2, y2)) == index
            part[nearest if nearest.any() else slice(None)] = index


def _without_ignored(label: np.ndarray) -> np.ndarray:
    """A label map in which ignored pixels have the nearest label."""
    ignored = label == IGNORE
    if not ignored.any():
        return label
    if ignored.all():
        return np.zeros_like(label)
    _, nearest = cv2.distanceTransformWithLabels(
        ignored.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.zeros(nearest.max() + 1, np.uint8)
    labels[nearest[~ignored]] = label[~ignored]
    return labels[nearest]


def _boxes_by_class(layout: BoxLayout) -> dict[int, list[list[int]]]:
    found: dict[int, list[list[int]]] = {}
    for box, index in zip(layout.boxes.tolist(), layout.box_classes):
        found.setdefault(index, []).append(box)
    return found


def _painted(boxes: Sequence[Sequence[int]], rect: Rect) -> np.ndarray:
    """The pixels of a rectangle that lie in any of some boxes: (y2 - y1, x2 - x1) bool."""
    left, top, right, bottom = rect
    inside = np.zeros((bottom - top, right - left), bool)
    for x1, y1, x2, y2 in boxes:
        inside[max(y1 - top, 0) : max(y2 - top, 0), max(x1 - left, 0) : max(x2 - left, 0)] = True
    return inside


def _overlap(layout: BoxLayout, masks: Sequence[InstanceMask]) -> bool:
    taken = np.zeros(layout.size, bool)
    for one, (x1, y1, x2, y2) in zip(masks, layout.boxes.tolist()):
        inside = taken[y1:y2, x1:x2]
        if (inside & one.mask).any():
            return True
        inside |= one.mask
    return False
