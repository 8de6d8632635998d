"""Label maps and masks of a source in one run."""

from collections.abc import Sequence
from typing import Any

from bana_mm.labels import LabelItem, LabelSource, ObjectSource
from bana_mm.labels.sources.answer import Answer, Kind, LabelMaps, Masks, Task, with_unknown
from bana_mm.labels.sources.asking import complete, prepare
from bana_mm.labels.sources.composite import CompositeSource, together
from bana_mm.structures import paint_masks


class MasksAndMaps(list):
    """One mask a box, as a source answers with them, and its label maps beside.

    Args:
        masks (list[InstanceMask]): One a box.
        maps (dict[str, np.ndarray]): (H, W) uint8 by name.
    """

    def __init__(self, masks: Masks, maps: LabelMaps) -> None:
        super().__init__(masks)
        self.maps = maps


class BothSource(CompositeSource):
    """Asks a source for both at once, so that what they share is computed once. For sinks of masks.

    Args:
        source (LabelSource): The source.
    """

    name = 'both'

    def __init__(self, source: LabelSource) -> None:
        self.sources = (source,)
        # of these the label map is the masks, painted
        self.kinds: tuple[Kind, ...] = ('masks',) if isinstance(source, ObjectSource) else ('masks', 'maps')

    @property
    def working_pixels(self) -> int | None:
        """None, since the source sees a smaller copy for each of both."""
        return None

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        (source,) = self.sources
        return [together(one) for one in zip(*(prepare(source, items, each) for each in self.kinds))]

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        (source,) = self.sources
        results = [None] * len(self.kinds) if result is None else result
        masks, *maps = (
            complete(source, item, each, *rest) for each, *rest in zip(self.kinds, context, results, strict=True)
        )
        if not maps:
            painted = {source.name: paint_masks(item.layout, [one.mask for one in masks])}
            maps = [with_unknown(item, painted)]
        return MasksAndMaps(masks, maps[0])
