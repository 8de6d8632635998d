"""Several sources into one."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bana_mm.labels.merge import agree
from bana_mm.registry import LABEL_SOURCES

from .base import LabelSource
from .building import build_label_source


@LABEL_SOURCES.register_module(name=['merged', 'MergedSource'])
class MergedSource(LabelSource):
    """What several sources agree on; the rest is 255.

    :func:`reliable_label_from_instances` keeps the first source's label there and says that it is not reliable.

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

    def label_map(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None, ignored: np.ndarray
    ) -> np.ndarray:
        return agree(*(source.label_map(image, boxes, labels, img_id, ignored) for source in self.sources))[0]

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        img_ids = list(img_ids)
        lacking = {img_id for source in self.sources for img_id in source.missing(img_ids)}
        return [img_id for img_id in img_ids if img_id in lacking]

    def describe(self) -> dict[str, Any]:
        return dict(type=self.name, sources=[source.describe() for source in self.sources])
