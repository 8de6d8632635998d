"""Label maps into a store."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bana_mm.structures import LabelStore
from bana_mm.utils.record import MASKS_FIELD

from .base import LabelSink, Write


class StoreSink(LabelSink):
    """Label maps into a store.

    Args:
        store (LabelStore): The store, with the maps of the source.
        img_ids (Sequence[str]): Ids of the images of the data set.
    """

    kind = 'maps'

    def __init__(self, store: LabelStore, img_ids: Sequence[str]) -> None:
        self.store = store
        self.img_ids = img_ids

    @property
    def where(self) -> str:
        return str(self.store.root)

    def describe(self) -> dict[str, Any]:
        return {MASKS_FIELD: 0}  # label maps are made from boxes; true masks join them in training, see mask_split

    def begin(self, record: Mapping[str, Any], overwrite: bool = False) -> None:
        self.store.begin(record, overwrite)

    def missing(self) -> list[int]:
        return [index for index, img_id in enumerate(self.img_ids) if not self.store.has(img_id)]

    @contextmanager
    def writer(self, rank: int) -> Iterator[Write]:
        yield lambda index, item, maps: self.store.write(self.img_ids[index], **maps)
