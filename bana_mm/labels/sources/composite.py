"""What sources that are made of other sources have in common."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from .answer import Kind, Task
from .base import LabelSource


class CompositeSource(LabelSource):
    """Asks other sources.

    Attributes:
        sources (Sequence[LabelSource]): Which ones.
    """

    sources: Sequence[LabelSource]

    @property
    def has_network(self) -> bool:
        return any(source.has_network for source in self.sources)

    @property
    def takes_any_box(self) -> bool:
        return all(source.takes_any_box for source in self.sources)

    @property
    def in_boxes(self) -> bool:
        return all(source.in_boxes for source in self.sources)

    @property
    def working_pixels(self) -> int | None:
        """That of all sources, which then see one copy; None where they differ, so that each sees its own."""
        ways = {(source.working_pixels, source.in_boxes) for source in self.sources}
        return ways.pop()[0] if len(ways) == 1 else None

    def work_at(self, pixels: int | None) -> None:
        for source in self.sources:
            source.work_at(pixels)

    def working_sizes(self) -> list[int | None]:
        return [size for source in self.sources for size in source.working_sizes()]

    def sizes_seen(self) -> Set[int | None]:
        if self.working_pixels is not None:
            return {self.working_pixels}
        return set().union(*(source.sizes_seen() for source in self.sources))

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        for source in self.sources:
            source.bind(classes, category_ids, same_as)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Those of the first source that has such a list."""
        return next((source.class_names for source in self.sources if source.class_names is not None), None)

    def use_device(self, device: str) -> None:
        for source in self.sources:
            source.use_device(device)

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        img_ids = list(img_ids)
        lacking = {img_id for source in self.sources for img_id in source.missing(img_ids)}
        return [img_id for img_id in img_ids if img_id in lacking]

    def describe(self) -> dict[str, Any]:
        return dict(type=self.name, sources=[source.describe() for source in self.sources])

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        return [network for source in self.sources for network in source.networks(kind)]


@dataclass
class Tasks:
    """What is left to do of several sources. Those with one network share their tasks, which then run once.

    Args:
        tasks (Sequence[Task | None]): One a source, None where nothing is left.
    """

    tasks: Sequence[Task | None]

    def run(self) -> list[Any]:
        """The results of all, None where nothing was left."""
        results: dict[int, Any] = {}
        for task in self.tasks:
            if id(task) not in results:
                results[id(task)] = None if task is None else task.run()
        return [results[id(task)] for task in self.tasks]


def together(prepared: Sequence[tuple[Task | None, Any]]) -> tuple[Task | None, list[Any]]:
    """What several sources prepared of an image as one task, None where nothing is left to do, and their contexts."""
    tasks, contexts = [task for task, _ in prepared], [context for _, context in prepared]
    return (Tasks(tasks) if any(task is not None for task in tasks) else None), contexts
