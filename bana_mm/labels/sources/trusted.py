"""Masks of any source with a score that says how far they are to be trusted, and a fall-back from one to the next."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bana_mm.functional.mask_trust import jittered_boxes
from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import IGNORE, paint_masks

from ..item import LabelItem
from ..trust import TrustedMask, TrustRule, first_that_passes
from .answer import Answer, Kind, LabelMaps, Task
from .asking import answers, finish, prepare
from .base import LabelSource
from .build import SourceConfig, build_label_source
from .composite import CompositeSource, together


class _JudgedSource(CompositeSource):
    """Answers with judged masks. A second label map has 255 in the pixels that are not reliable."""

    @property
    def map_names(self) -> tuple[str, ...]:
        return self.name, f'{self.name}_sure'

    @abstractmethod
    def masks(self, item: LabelItem) -> list[TrustedMask]:
        """One judged mask a box; of a source with a network see :meth:`finish`."""

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        return super().networks('masks')  # what is judged, whichever is asked for

    def label_maps(self, item: LabelItem) -> LabelMaps:
        return self._maps(item, self.masks(item))

    def _answer(self, item: LabelItem, kind: Kind, masks: list[TrustedMask]) -> Answer:
        return masks if kind == 'masks' else self._maps(item, masks)

    def _maps(self, item: LabelItem, masks: list[TrustedMask]) -> LabelMaps:
        label = paint_masks(item.layout, [one.mask for one in masks])
        sure = label.copy()
        for one, (x1, y1, x2, y2) in zip(masks, item.layout.boxes.tolist()):
            sure[y1:y2, x1:x2][one.unreliable] = IGNORE
        return dict(zip(self.map_names, (label, sure)))


@LABEL_SOURCES.register_module(name=['trusted', 'TrustedSource'])
class TrustedSource(_JudgedSource):
    """The masks of a source, judged: the score estimates their IoU, and more pixels are unreliable.

    The source is asked three times, with the boxes as they are and moved by a few pixels along both diagonals; pixels
    that then flip are unreliable, as are those that it says are and those in which a second source differs. A source
    that looks its labels up (files) is asked once. See :class:`bana_mm.labels.trust.TrustRule`.

    Args:
        source (LabelSource | str | dict | Sequence): A source, or as in :func:`build_label_source`.
        second (LabelSource | str | dict | Sequence | None): Another one, to compare with. Defaults to None.
        rule (dict | None): Fields of the rule to change. Defaults to None.
    """

    name = 'trusted'
    text_fields = ('source',)

    def __init__(
        self,
        source: LabelSource | SourceConfig,
        second: LabelSource | SourceConfig | None = None,
        rule: Mapping[str, Any] | TrustRule | None = None,
    ) -> None:
        self.source = build_label_source(source)
        self.second = None if second is None else build_label_source(second)
        self.rule = TrustRule.from_cfg(rule)
        self._class_names: tuple[str, ...] = ()

    @property
    def map_names(self) -> tuple[str, ...]:
        name = self.source.map_names[0]
        return name, f'{name}_sure'

    @property
    def sources(self) -> list[LabelSource]:
        """The source, and the second one where there is one."""
        return [self.source] if self.second is None else [self.source, self.second]

    def masks(self, item: LabelItem) -> list[TrustedMask]:
        _ = item.image  # read once for all
        found = [answers(source, [one], 'masks')[0] for source, one in self._questions(item)]
        return self._judge(item, found)

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        if not self.has_network:
            return super().prepare(items, kind)
        # All images with one set of boxes, then with the next: a network sees the same images again, and knows them.
        questions = zip(*(self._questions(item) for item in items))
        prepared = [prepare(asked[0][0], [one for _, one in asked], 'masks') for asked in questions]
        return [together(of_item) for of_item in zip(*prepared)]

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        if not self.has_network:
            return result
        questions = self._questions(item)
        results = [None] * len(questions) if result is None else result
        found = [finish(source, one, 'masks', *rest) for (source, one), *rest in zip(questions, context, results)]
        return self._answer(item, kind, self._judge(item, found))

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        super().bind(classes, category_ids, same_as)
        self._class_names = tuple(classes)

    def describe(self) -> dict[str, Any]:
        second = None if self.second is None else self.second.describe()
        return dict(type=self.name, source=self.source.describe(), second=second, rule=self.rule.to_dict())

    def _questions(self, item: LabelItem) -> list[tuple[LabelSource, LabelItem]]:
        """Who is asked for the masks of which boxes: the boxes as they are, moved, and of the second source."""
        asked = [(self.source, item)]
        if self.source.takes_any_box:
            asked += [
                (self.source, replace(item, layout=replace(item.layout, boxes=torch.from_numpy(boxes))))
                for boxes in self._moved(item)
            ]
        return asked if self.second is None else [*asked, (self.second, item)]

    def _moved(self, item: LabelItem) -> np.ndarray:
        """(2, K, 4) int64."""
        return jittered_boxes(item.layout.boxes.numpy(), item.layout.size, self.rule.shift, self.rule.min_shift)

    def _judge(self, item: LabelItem, found: Sequence[list]) -> list[TrustedMask]:
        seconds = [None] * len(found[0]) if self.second is None else [one.mask for one in found[-1]]
        jittered = found[1 : len(found) - (self.second is not None)]
        moved = self._moved(item).tolist() if jittered else []
        judged = []
        for k, (one, box, index) in enumerate(zip(found[0], item.layout.boxes.tolist(), item.layout.box_classes)):
            judged.append(
                self.rule.judge(
                    one,
                    box,
                    self._class_names[index - 1] if self._class_names else None,
                    [masks[k].mask for masks in jittered],
                    [boxes[k] for boxes in moved],
                    seconds[k],
                    self.source.score_is_iou,
                )
            )
        return judged


@LABEL_SOURCES.register_module(name=['fallback', 'FallbackSource'])
class FallbackSource(_JudgedSource):
    """For each box the mask of the first of several sources that passes, see :class:`TrustRule`.

    Where none passes it is the one with the highest score. A source is asked only of images in which a box is left that
    no earlier one has a mask for, as far as that is known before the worker processes have run: a SAM's masks are,
    those that wait for a CRF are not.

    Args:
        sources (Sequence[str | dict]): At least two, each as in :func:`build_label_source`; ``'A|B'`` in its short
            form. Those that are not 'trusted' themselves are judged with ``rule``.
        rule (dict | None): Fields of the rule to change. Defaults to None.

    Raises:
        ValueError: If there are fewer than two.
    """

    name = 'fallback'

    def __init__(
        self, sources: Sequence[str | dict[str, Any]], rule: Mapping[str, Any] | TrustRule | None = None
    ) -> None:
        if isinstance(sources, (str, dict)) or len(sources) < 2:
            raise ValueError(f'a fall-back takes a list of at least two label sources, got {sources!r}')
        built = [build_label_source(source) for source in sources]
        self.sources = tuple(one if isinstance(one, TrustedSource) else TrustedSource(one, rule=rule) for one in built)

    def masks(self, item: LabelItem) -> list[TrustedMask]:
        _ = item.image  # read once for all
        found: list[list[TrustedMask]] = []
        for source in self.sources:
            found.append(source.masks(item))
            if _all_pass(found):
                break
        return _choose(found)

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        if not self.has_network:
            return super().prepare(items, kind)
        prepared: list[list[tuple[Task | None, Any]]] = [[] for _ in items]
        left = list(range(len(items)))
        for source in self.sources:
            for number, one in zip(left, prepare(source, [items[number] for number in left], 'masks')):
                prepared[number].append(one)
            left = [number for number in left if not self._done(items[number], prepared[number])]
            if not left:
                break
        return [together(of_item) for of_item in prepared]

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        if not self.has_network:
            return result
        results = [None] * len(context) if result is None else result
        found = [finish(source, item, 'masks', *rest) for source, *rest in zip(self.sources, context, results)]
        return self._answer(item, kind, _choose(found))

    def _done(self, item: LabelItem, prepared: Sequence[tuple[Task | None, Any]]) -> bool:
        """Whether every box has a mask that passes, of the sources that are through with the image."""
        ready = [
            finish(source, item, 'masks', context, None)
            for source, (task, context) in zip(self.sources, prepared)
            if task is None
        ]
        return bool(ready) and _all_pass(ready)


def _all_pass(found: Sequence[Sequence[TrustedMask]]) -> bool:
    return all(any(one.passes for one in of_box) for of_box in zip(*found))


def _choose(found: Sequence[Sequence[TrustedMask]]) -> list[TrustedMask]:
    return [of_box[first_that_passes(of_box)] for of_box in zip(*found)]
