"""Store the labels of any source, made in worker processes."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from .crf_pool import CRFPool
from .label_run import LabelRun, share_progress
from .sources import LabelSource, MergedSource, label_from_instances, read_rgb
from .store import LabelStore


def source_maps(source: LabelSource) -> dict[str, LabelSource]:
    """The maps that a store holds of a source, by name: one, or one for each of merged sources."""
    maps: dict[str, LabelSource] = {}
    for part in source.sources if isinstance(source, MergedSource) else (source,):
        taken = sum(name.rpartition('_')[0] == part.name or name == part.name for name in maps)
        maps[f'{part.name}_{taken + 1}' if taken else part.name] = part
    return maps


def store_source_labels(
    source: LabelSource, dataset: BaseDataset, store: LabelStore, workers: int = 0, indices: Sequence[int] | None = None
) -> LabelRun:
    """Write the maps of a source for images of a dataset.

    Args:
        source (LabelSource): The source. Each of merged ones has a map of its own, so that nothing is lost; who reads
            them (``BoxPseudoLabel(maps=...)``) merges them.
        dataset (BaseDataset): Items with ``img_id``, ``img_path`` and ``instances``.
        store (LabelStore): A store that was begun with the maps of :func:`source_maps`.
        workers (int): Processes; 0 works in this one. Defaults to 0.
        indices (Sequence[int] | None): Which images. Defaults to None, those that the store lacks.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be labelled (the message names it), or a worker dies.
    """
    start = time.perf_counter()
    if indices is None:
        indices = [i for i in range(len(dataset)) if not store.has(dataset.get_data_info(i)['img_id'])]
    maps = source_maps(source)
    items = (dataset.get_data_info(index) for index in indices)
    jobs = ((item['img_path'], (maps, item), item['img_id']) for item in items)
    with CRFPool(label_item, workers) as pool, share_progress(len(dataset), len(indices)) as progress:
        for _, img_id, labels in pool.map(jobs):
            store.write(img_id, **labels)
            progress.update()
    return LabelRun(
        len(indices),
        time.perf_counter() - start,
        pool.busy_seconds,
        workers,
        {'waiting for workers': pool.wait_seconds},
        len(dataset) - len(indices),
    )


def label_item(maps: dict[str, LabelSource], item: dict[str, Any]) -> dict[str, np.ndarray]:
    """The maps of an item, (H, W) uint8 each. Runs in any process."""
    image = read_rgb(item['img_path'])
    return {name: label_from_instances(part, image, item['instances'], item['img_id']) for name, part in maps.items()}
