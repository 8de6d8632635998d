"""Several sources into one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bana_mm.functional.mask_trust import mask_iou
from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import IGNORE, InstanceMask, agree, vote
from bana_mm.structures.label_map import UNDECIDED

from ..item import LabelItem
from .answer import Answer, Kind, LabelMaps, Task
from .asking import finish, prepare
from .build import build_label_source
from .composite import CompositeSource, together


@LABEL_SOURCES.register_module(name=['merged', 'MergedSource'])
class MergedSource(CompositeSource):
    """Several sources, of which the first gives the label; where they differ it is not reliable.

    Each has a label map of its own, so that nothing is lost: who asks for one map gets what all agree on, 255 elsewhere
    (:func:`label_map`), or the first with its reliable region (:func:`reliable_label`). Masks are those of the first,
    unreliable where it says so and in the pixels that another gives to other objects; the score is the first's times
    the share of the mask that is left reliable.

    Args:
        sources (Sequence[str | dict]): At least two, each as in :func:`build_label_source`.

    Raises:
        ValueError: If there are fewer than two.
    """

    name = 'merged'

    def __init__(self, sources: Sequence[str | dict[str, Any]]) -> None:
        if isinstance(sources, (str, dict)) or len(sources) < 2:
            raise ValueError(f'merging takes a list of at least two label sources, got {sources!r}')
        self.sources = tuple(build_label_source(source) for source in sources)

    @property
    def map_names(self) -> tuple[str, ...]:
        names: list[str] = []
        for source in self.sources:
            taken = sum(name == source.name or name.rpartition('_')[0] == source.name for name in names)
            names.append(f'{source.name}_{taken + 1}' if taken else source.name)
        return tuple(names)

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        of_sources = [prepare(source, items, kind) for source in self.sources]
        return [together(of_item) for of_item in zip(*of_sources)]

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        results = [None] * len(self.sources) if result is None else result
        found = [finish(source, item, kind, *of_source) for source, *of_source in zip(self.sources, context, results)]
        if kind == 'maps':
            return self._combine_maps([agree(*maps.values())[0] for maps in found])
        return [self._combine_masks(masks) for masks in zip(*found)]

    def _combine_maps(self, maps: Sequence[np.ndarray]) -> LabelMaps:
        return dict(zip(self.map_names, maps))

    @staticmethod
    def _combine_masks(masks: Sequence[InstanceMask]) -> InstanceMask:
        first, *others = masks
        unreliable = first.unreliable.copy()
        for other in others:
            unreliable |= other.unreliable | (other.mask != first.mask)
        before, now = (~pixels[first.mask] for pixels in (first.unreliable, unreliable))
        share = float(now.sum() / before.sum()) if before.any() else 0.0
        return InstanceMask(first.mask, unreliable, first.score * share)


@LABEL_SOURCES.register_module(name=['vote', 'VoteSource'])
class VoteSource(MergedSource):
    """Several sources that vote: a pixel gets the class that more than half of them name (ours).

    Masks are voted on box by box; pixels without a majority are as in the first one's and unreliable, as are those that
    more than half of the sources call so. The score is the mean IoU of the sources' masks with the one that won. A mask
    that no pixel has a majority for is the whole box, all of it unreliable, with the score 0.

    Args:
        sources (Sequence[str | dict]): At least two, each as in :func:`build_label_source`.
        undecided (str): What pixels of the label map without a majority are: 'ignore', 255; or 'first', as in the first
            source's, with a second map that has 255 there. Defaults to 'ignore'.

    Raises:
        ValueError: If there are fewer than two, or for another ``undecided``.
    """

    name = 'vote'

    def __init__(self, sources: Sequence[str | dict[str, Any]], undecided: str = 'ignore') -> None:
        super().__init__(sources)
        if undecided not in UNDECIDED:
            raise ValueError(f'vote: undecided must be one of {", ".join(UNDECIDED)}, got {undecided!r}')
        self.undecided = undecided

    @property
    def map_names(self) -> tuple[str, ...]:
        return (self.name,) if self.undecided == 'ignore' else (self.name, f'{self.name}_sure')

    def describe(self) -> dict[str, Any]:
        return dict(super().describe(), undecided=self.undecided)

    def _combine_maps(self, maps: Sequence[np.ndarray]) -> LabelMaps:
        merged, decided = vote(*maps, undecided=self.undecided)
        return dict(zip(self.map_names, (merged, np.where(decided, merged, IGNORE).astype(np.uint8))))

    @staticmethod
    def _combine_masks(masks: Sequence[InstanceMask]) -> InstanceMask:
        votes = sum(one.mask.astype(np.int16) for one in masks)
        doubts = sum(one.unreliable.astype(np.int16) for one in masks)
        tie = 2 * votes == len(masks)
        mask = (2 * votes > len(masks)) | (tie & masks[0].mask)
        if not mask.any():
            return InstanceMask.stand_in(mask.shape)
        score = float(np.mean([mask_iou(one.mask, mask) for one in masks]))
        return InstanceMask(mask, tie | (2 * doubts > len(masks)), score)
