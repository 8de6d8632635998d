"""Several sources into one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask, agree

from ..item import LabelItem
from .base import Answer, Kind, LabelSource, Task
from .build import build_label_source


@LABEL_SOURCES.register_module(name=['merged', 'MergedSource'])
class MergedSource(LabelSource):
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
    def has_network(self) -> bool:
        return any(source.has_network for source in self.sources)

    @property
    def map_names(self) -> tuple[str, ...]:
        names: list[str] = []
        for source in self.sources:
            taken = sum(name == source.name or name.rpartition('_')[0] == source.name for name in names)
            names.append(f'{source.name}_{taken + 1}' if taken else source.name)
        return tuple(names)

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        of_sources = [source.prepare(items, kind) for source in self.sources]
        prepared = []
        for of_item in zip(*of_sources):
            tasks, contexts = zip(*of_item)
            prepared.append((None if not any(tasks) else _Tasks(tasks), contexts))
        return prepared

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        results = [None] * len(self.sources) if result is None else result
        found = [source.finish(item, kind, *of_source) for source, *of_source in zip(self.sources, context, results)]
        if kind == 'maps':
            return dict(zip(self.map_names, (agree(*maps.values())[0] for maps in found)))
        return [_merge(*masks) for masks in zip(*found)]

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        for source in self.sources:
            source.bind(classes, category_ids, same_as)

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        img_ids = list(img_ids)
        lacking = {img_id for source in self.sources for img_id in source.missing(img_ids)}
        return [img_id for img_id in img_ids if img_id in lacking]

    def describe(self) -> dict[str, Any]:
        return dict(type=self.name, sources=[source.describe() for source in self.sources])


def _merge(first: InstanceMask, *others: InstanceMask) -> InstanceMask:
    unreliable = first.unreliable.copy()
    for other in others:
        unreliable |= other.unreliable | (other.mask != first.mask)
    inside = first.mask
    before, now = (~pixels[inside] for pixels in (first.unreliable, unreliable))
    share = float(now.sum() / before.sum()) if before.any() else 0.0
    return InstanceMask(first.mask, unreliable, first.score * share)


@dataclass
class _Tasks:
    """What is left to do of several sources. Those with one network share their tasks, which then run once."""

    tasks: tuple[Task | None, ...]

    def run(self) -> list[Any]:
        results: dict[int, Any] = {}
        for task in self.tasks:
            if id(task) not in results:
                results[id(task)] = None if task is None else task.run()
        return [results[id(task)] for task in self.tasks]
