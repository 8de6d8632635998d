"""What a source of labels answers, and how one kind of answer is made of the other."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np

from bana_mm.structures import IGNORE, InstanceMask, cut_masks, reliable_region

from ..item import LabelItem

Kind = Literal['maps', 'masks']
LabelMaps = dict[str, np.ndarray]  # (H, W) uint8 by name: 0 background, 1..L classes, 255 ignored
Masks = list[InstanceMask]  # one a box, in the order of the layout
Answer = LabelMaps | Masks


class Task(Protocol):
    """What may run in any process: small and picklable."""

    def run(self) -> Any:
        """Do it."""


def with_unknown(item: LabelItem, maps: LabelMaps) -> LabelMaps:
    """Label maps with 255 in pixels of which only ignored boxes tell."""
    if not len(item.layout.ignored):
        return maps
    unknown = item.layout.unknown().numpy()
    return {name: np.where(unknown, IGNORE, one).astype(np.uint8) for name, one in maps.items()}


def masks_of_maps(item: LabelItem, maps: Mapping[str, np.ndarray]) -> Masks:
    """Masks cut out of the first of several label maps, unreliable where the maps disagree or are ignored (ours)."""
    first = next(iter(maps.values()))
    masks = cut_masks(item.layout, first)
    unreliable = ~reliable_region(*maps.values())
    for one, (x1, y1, x2, y2) in zip(masks, item.layout.boxes.tolist()):
        one.unreliable = one.unreliable | unreliable[y1:y2, x1:x2]
        one.score *= float(1 - one.unreliable[one.mask].mean())
    return masks


def first_masks(item: LabelItem, answer: Answer) -> Masks:
    """The masks of an answer; of label maps those cut out of the first one."""
    return cut_masks(item.layout, next(iter(answer.values()))) if isinstance(answer, dict) else answer
