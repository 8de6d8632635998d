"""How sources are asked: large images are shown to them as a smaller copy, and their labels are enlarged.

In one process (:func:`answers`), or in three steps, the second of which runs anywhere (:func:`prepare`,
:func:`complete`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bana_mm.structures import agree, paint_masks, reliable_region
from bana_mm.utils.stopwatch import measured

from ..enlarged import enlarged_maps, enlarged_masks
from ..item import LabelItem
from .answer import Answer, Kind, Task, with_unknown

if TYPE_CHECKING:
    from .base import LabelSource


def answers(source: 'LabelSource', items: Sequence[LabelItem], kind: Kind) -> list[Answer]:
    """What a source answers for some images, all of it in this process.

    Args:
        source (LabelSource): The source.
        items (Sequence[LabelItem]): Images.
        kind (str): 'maps' or 'masks'.

    Returns:
        list[dict[str, np.ndarray] | list[InstanceMask]]: One an image, see :meth:`LabelSource.finish`.
    """
    prepared = prepare(source, items, kind)
    return [
        complete(source, item, kind, context, None if task is None else task.run())
        for item, (task, context) in zip(items, prepared)
    ]


def prepare(source: 'LabelSource', items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
    """:meth:`LabelSource.prepare`, which sees smaller copies of large images."""
    copies = [item.at_working_size(source.working_pixels) for item in items]
    if source.has_network:
        return [
            (task, context if copy is item else _OfCopy(copy.without_pixels(), context))
            for item, copy, (task, context) in zip(items, copies, source.prepare(copies, kind))
        ]
    return [
        source.prepare([item], kind)[0] if copy is item else (_CopyTask(source, item, kind), _DONE)
        for item, copy in zip(items, copies)
    ]


def finish(source: 'LabelSource', item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
    """:meth:`LabelSource.finish`; the labels of a smaller copy are enlarged. ``context`` is that of :func:`prepare`."""
    if context is _DONE:
        return result
    if not isinstance(context, _OfCopy):
        return source.finish(item, kind, context, result)
    answer = source.finish(context.copy, kind, context.context, result)
    with measured('enlarging'):
        return _enlarged(source, item, item.at_working_size(source.working_pixels), answer)


def complete(source: 'LabelSource', item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
    """The last step: :func:`finish`, and 255 in pixels of which only ignored boxes tell."""
    answer = finish(source, item, kind, context, result)
    return with_unknown(item, answer) if isinstance(answer, dict) else answer


def label_map(source: 'LabelSource', item: LabelItem) -> np.ndarray:
    """The label map of an image: what all maps of a source agree on, 255 elsewhere. (H, W) uint8."""
    (maps,) = answers(source, [item], 'maps')
    return agree(*maps.values())[0]


def reliable_label(source: 'LabelSource', item: LabelItem) -> tuple[np.ndarray, np.ndarray]:
    """The label map of an image, and where it is reliable.

    Args:
        source (LabelSource): The source. Of several maps the first is the label; all must agree where it is reliable.
        item (LabelItem): The image.

    Returns:
        tuple[np.ndarray, np.ndarray]: The label map (H, W) uint8, and the reliable region (H, W) bool, nowhere 255.
    """
    (maps,) = answers(source, [item], 'maps')
    first = next(iter(maps.values()))
    return first, reliable_region(*maps.values())


@dataclass
class _CopyTask:
    """All the work of sources without a network on a smaller copy of an image, and the enlarging."""

    source: 'LabelSource'
    item: LabelItem
    kind: Kind

    def run(self) -> Answer:
        painted = self.kind == 'maps' and self.source.paints_masks  # at the image's own size
        kind: Kind = 'masks' if painted else self.kind
        copy = self.item.at_working_size(self.source.working_pixels)
        task, context = self.source.prepare([copy], kind)[0]
        answer = self.source.finish(copy, kind, context, None if task is None else task.run())
        answer = _enlarged(self.source, self.item, copy, answer)
        return {self.source.name: paint_masks(self.item.layout, [one.mask for one in answer])} if painted else answer


@dataclass
class _OfCopy:
    """What a source prepared of a smaller copy of an image, whose pixels need not be in memory any more."""

    copy: LabelItem
    context: Any


_DONE = object()  # a context: the task has done all


def _enlarged(source: 'LabelSource', item: LabelItem, copy: LabelItem, answer: Answer) -> Answer:
    _ = item.image, copy.image  # in this order the file is read once
    if isinstance(answer, dict):
        return enlarged_maps(item, copy, answer, source.in_boxes)
    return enlarged_masks(item, copy, answer)
