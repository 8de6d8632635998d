"""The loop of stage 2: network and label mathematics here, the CRF in worker processes meanwhile."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from torch.utils.data import DataLoader, Dataset

from .crf_pool import CRFPool
from .generator import LabelGenerator
from .label_run import LabelRun, share_progress
from .network import extract_features
from .store import LabelStore
from .task import LabelTask, crf_label


def generate_labels(model: BaseModel,
                    dataset: BaseDataset,
                    store: LabelStore,
                    generator: LabelGenerator,
                    workers: int = 0,
                    loading_workers: int = 0,
                    batch_size: int = 1,
                    indices: Sequence[int] | None = None) -> LabelRun:
    """Write Y_crf and Y_ret for images of a dataset.

    The maps depend neither on ``workers`` nor on where an earlier run was killed, and on ``batch_size`` only as far as
    the network's rounding does.

    Args:
        model (BaseModel): Trained ``BoxClassifier`` in evaluation mode, on its device.
        dataset (BaseDataset): Images with boxes at their own size, packed by mmdet's ``PackDetInputs``.
        store (LabelStore): A store that was begun, see :meth:`LabelStore.begin`.
        generator (LabelGenerator): Recipe and classifier weights.
        workers (int): Processes for the CRF; 0 runs it in this one. On a GPU the CRF's torch backend, which 'auto'
            means there, runs on it, without these. Defaults to 0.
        loading_workers (int): Processes that read images; 0 reads them in this one. Defaults to 0.
        batch_size (int): Most images, all of one size, that the network sees at once. Defaults to 1.
        indices (Sequence[int] | None): Which images. Defaults to None, those that the store lacks.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be loaded or labelled (the message names it), or a worker dies.
    """
    start = time.perf_counter()
    seconds: dict[str, float] = defaultdict(float)
    if indices is None:
        indices = [i for i in range(len(dataset)) if not store.has(dataset.get_data_info(i)['img_id'])]
    loader = DataLoader(_NamedItems(dataset), batch_sampler=size_batches(dataset, indices, batch_size),
                        num_workers=loading_workers, collate_fn=_as_is)

    def network_outputs() -> Iterator[tuple[str, tuple[np.ndarray, LabelTask], tuple]]:
        for items in loader:
            images = [_stored_image(item) for item in items]
            with _measured(seconds, 'network'), _naming(', '.join(item['data_samples'].img_path for item in items)):
                batch = _features(model, items, generator)
            for item, image, features in zip(items, images, batch):
                sample = item['data_samples']
                with _measured(seconds, 'labels'), _naming(sample.img_path):
                    task = generator.prepare_sample(features, sample)
                yield sample.img_path, (image, task), (sample.img_id, features, task)

    crf, workers = _crf_function(generator, workers)
    with CRFPool(crf, workers) as pool, share_progress(len(dataset), len(indices)) as progress:
        for _, (img_id, features, task), y_crf in pool.map(network_outputs()):
            with _measured(seconds, 'labels'):
                y_ret = generator.retrieve(features, task, y_crf)
            store.write(img_id, Y_crf=y_crf, Y_ret=y_ret)
            progress.update()
    seconds['waiting for workers'] = pool.wait_seconds
    return LabelRun(len(indices), time.perf_counter() - start, pool.busy_seconds, workers, dict(seconds),
                    len(dataset) - len(indices))


def size_batches(dataset: BaseDataset, indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of images whose annotations name one size.

    Args:
        dataset (BaseDataset): Items with ``height`` and ``width``; those without count as of one size.
        indices (Sequence[int]): Which images.
        batch_size (int): Most images of a batch.

    Returns:
        list[list[int]]: Every index once, batches in the order of their first one.

    Raises:
        ValueError: If the batch size is not at least 1.
    """
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}')
    open_batches: dict[tuple, list[int]] = {}
    batches = []
    for index in indices:
        info = dataset.get_data_info(index)
        size = (info.get('height'), info.get('width'))
        if size not in open_batches:
            open_batches[size] = []
            batches.append(open_batches[size])
        open_batches[size].append(index)
        if len(open_batches[size]) == batch_size:
            del open_batches[size]
    return batches


def _features(model: BaseModel, items: Sequence[dict[str, Any]], generator: LabelGenerator) -> list:
    """Features of each item. Annotations may be wrong about sizes, so these are compared once more."""
    groups = defaultdict(list)
    for position, item in enumerate(items):
        groups[item['inputs'].shape].append(position)
    features: list = [None] * len(items)
    for positions in groups.values():
        found = extract_features(model, [items[position] for position in positions], generator.recipe)
        for position, feats in zip(positions, found):
            features[position] = feats
    return features


def _crf_function(generator: LabelGenerator, workers: int) -> tuple:
    """What the CRF pool runs, and in how many processes."""
    device = generator.weight.device
    if device.type == 'cpu' or generator.recipe.crf['backend'] == 'pydensecrf':
        return crf_label, workers
    return partial(crf_label, device=device), 0


class _NamedItems(Dataset):
    """The items of a dataset; an error in loading one names its image."""

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with _naming(self.dataset.get_data_info(index)['img_path']):
            return self.dataset[index]


def _as_is(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """DataLoader would turn arrays into tensors."""
    return items


def _stored_image(item: dict[str, Any]) -> np.ndarray:
    """The image as LoadImageFromFile has read it (in BGR) and nothing has changed it: (H, W, 3) uint8 RGB."""
    image, sample = item['inputs'], item['data_samples']
    if image.dtype != torch.uint8 or image.shape[0] != 3 or tuple(image.shape[1:]) != tuple(sample.ori_shape[:2]):
        found, stored = ' x '.join(map(str, image.shape)), ' x '.join(map(str, sample.ori_shape[:2]))
        raise ValueError(f'{sample.img_path}: labels are made for the stored image, 3 x {stored} uint8, but the test '
                         f'pipeline gives {found} {image.dtype}; it must only load, annotate and pack')
    return np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy())


@contextmanager
def _measured(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


@contextmanager
def _naming(img_path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise RuntimeError(f'{img_path}: {error}') from error
