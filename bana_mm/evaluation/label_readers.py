"""Where the label maps of an image come from that are compared with its mask."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bana_mm.labels import LabelItem, LabelSource, MergedSource, label_map
from bana_mm.labels.item import read_rgb
from bana_mm.structures import LabelStore, agree

# Makes the label map (H, W) uint8 of an image from its id, its size (H, W) and the number of object classes.
LabelReader = Callable[[str, tuple[int, int], int], np.ndarray]


@dataclass
class StoredMap:
    """One map of a label store."""

    store: LabelStore
    map_name: str

    def __call__(self, img_id: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        return self.store.read(self.map_name, img_id, size, num_classes)

    def missing(self, img_ids: Sequence[str]) -> list[str]:
        """Images without this map."""
        return [img_id for img_id in img_ids if not self.store.path(self.map_name, img_id).exists()]


class AgreedMaps:
    """What several maps agree on; the rest is 255.

    Args:
        *maps (LabelReader): At least two.
    """

    def __init__(self, *maps: LabelReader) -> None:
        self.maps = maps

    def __call__(self, img_id: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        return agree(*(one(img_id, size, num_classes) for one in self.maps))[0]


@dataclass
class SourceLabels:
    """What a source makes of images and boxes.

    Args:
        source (LabelSource): The source.
        items (Mapping[str, dict]): Dataset items (``img_path``, ``instances``) by image id.
    """

    source: LabelSource
    items: Mapping[str, dict[str, Any]]

    def __call__(self, img_id: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        item = self.items[img_id]
        # The same array for all rows: sources with one network then share what they compute of it.
        item = LabelItem.from_info({**item, 'img_id': img_id}, _read_rgb(item['img_path']))
        return label_map(self.source, item)

    def only(self, img_id: str) -> 'SourceLabels':
        """The same for one image: little to send to a worker process."""
        return SourceLabels(self.source, {img_id: self.items[img_id]})


def is_agreement(reader: LabelReader) -> bool:
    """Whether a row is what several maps agree on, so that 255 says nothing against it."""
    return isinstance(reader, AgreedMaps) or isinstance(getattr(reader, 'source', None), MergedSource)


def readers_of_image(rows: Mapping[str, LabelReader], img_id: str) -> dict[str, LabelReader]:
    return {name: reader.only(img_id) if isinstance(reader, SourceLabels) else reader for name, reader in rows.items()}


@lru_cache(maxsize=1)
def _read_rgb(path: str) -> np.ndarray:
    return read_rgb(path)
