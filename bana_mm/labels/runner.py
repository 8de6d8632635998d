"""The loop of stage 2: network and label mathematics here, the CRF in worker processes meanwhile."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bana_mm.utils.progress import Progress

from .crf_pool import CRFPool
from .generator import LabelGenerator
from .store import LabelStore
from .task import LabelTask, crf_label


@dataclass
class LabelRun:
    """Result of :func:`generate_labels`.

    Args:
        images (int): Images that were labelled now.
        skipped (int): Images that had their labels already.
        seconds (float): Wall time in all.
        parts (dict[str, float]): Wall seconds of this process by what it did: 'network', 'labels' (stage 2 without
            network and CRF), 'waiting for the CRF'; the rest is loading and writing.
        crf_seconds (float): Spent in the CRF, summed over workers.
        workers (int): Worker processes.
    """

    images: int
    skipped: int
    seconds: float
    parts: dict[str, float]
    crf_seconds: float
    workers: int

    def __str__(self) -> str:
        text = f'{self.images} images in {self.seconds:.1f} s'
        if self.skipped:
            text += f' ({self.skipped} were there)'
        if self.images:
            parts = dict(self.parts, other=self.seconds - sum(self.parts.values()))
            shares = ', '.join(f'{name} {100 * seconds / self.seconds:.0f} %' for name, seconds in parts.items())
            where = f'in {self.workers} worker processes' if self.workers else 'in this process'
            text += f': {shares}; CRF {self.crf_seconds / self.images:.3f} s an image, {where}'
        return text


def generate_labels(model: BaseModel,
                    dataset: BaseDataset,
                    store: LabelStore,
                    generator: LabelGenerator,
                    workers: int = 0,
                    loading_workers: int = 0) -> LabelRun:
    """Write Y_crf and Y_ret for the images of a dataset that the store lacks.

    The maps depend neither on ``workers`` nor on where an earlier run was killed.

    Args:
        model (BaseModel): Trained ``BoxClassifier`` in evaluation mode, on its device.
        dataset (BaseDataset): Images with boxes at their own size, packed by mmdet's ``PackDetInputs``.
        store (LabelStore): A store that was begun, see :meth:`LabelStore.begin`.
        generator (LabelGenerator): Recipe and classifier weights.
        workers (int): Processes for the CRF; 0 runs it in this one. Defaults to 0.
        loading_workers (int): Processes that read images; 0 reads them in this one. Defaults to 0.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be loaded or labelled (the message names it), or a worker dies.
    """
    start = time.perf_counter()
    seconds: dict[str, float] = defaultdict(float)
    todo = [i for i in range(len(dataset)) if not store.has(dataset.get_data_info(i)['img_id'])]
    skipped = len(dataset) - len(todo)
    loader = DataLoader(_NamedItems(dataset, todo), batch_size=None, num_workers=loading_workers, collate_fn=_as_is)

    def network_outputs() -> Iterator[tuple[str, tuple[np.ndarray, LabelTask], tuple]]:
        for item in loader:
            sample = item['data_samples']
            image = _stored_image(item)
            with _measured(seconds, 'network'):
                feats = _extract_feat(model, item)
            with _measured(seconds, 'labels'), _naming(sample.img_path):
                task = generator.prepare_sample(feats, sample)
            yield sample.img_path, (image, task), (sample.img_id, feats, task)

    with CRFPool(crf_label, workers) as pool, Progress(len(dataset), skipped, 'labels') as progress:
        for _, (img_id, feats, task), y_crf in pool.map(network_outputs()):
            with _measured(seconds, 'labels'):
                y_ret = generator.retrieve(feats, task, y_crf)
            store.write(img_id, Y_crf=y_crf, Y_ret=y_ret)
            progress.update()
    seconds['waiting for the CRF'] = pool.wait_seconds
    return LabelRun(len(todo), skipped, time.perf_counter() - start, dict(seconds), pool.busy_seconds, workers)


class _NamedItems(Dataset):
    """Some items of a dataset; an error in loading one names its image."""

    def __init__(self, dataset: BaseDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        index = self.indices[position]
        with _naming(self.dataset.get_data_info(index)['img_path']):
            return self.dataset[index]


def _as_is(item: dict[str, Any]) -> dict[str, Any]:
    """DataLoader would turn arrays into tensors."""
    return item


def _stored_image(item: dict[str, Any]) -> np.ndarray:
    """The image as LoadImageFromFile has read it (in BGR) and nothing has changed it: (H, W, 3) uint8 RGB."""
    image, sample = item['inputs'], item['data_samples']
    if image.dtype != torch.uint8 or image.shape[0] != 3 or tuple(image.shape[1:]) != tuple(sample.ori_shape[:2]):
        found, stored = ' x '.join(map(str, image.shape)), ' x '.join(map(str, sample.ori_shape[:2]))
        raise ValueError(f'{sample.img_path}: labels are made for the stored image, 3 x {stored} uint8, but the test '
                         f'pipeline gives {found} {image.dtype}; it must only load, annotate and pack')
    return np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy())


@torch.inference_mode()
def _extract_feat(model: BaseModel, item: dict[str, Any]) -> Tensor:
    """Features of one image, (D, h, w)."""
    size = tuple(item['inputs'].shape[1:])
    inputs = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))['inputs']
    if tuple(inputs.shape[2:]) != size:
        raise ValueError(f'labels are made at the own size of an image, {size}, but model.data_preprocessor pads it to '
                         f'{tuple(inputs.shape[2:])}; set its pad_size_divisor to 1')
    feats = model.extract_feat(inputs)[0]
    if feats.is_cuda:
        torch.cuda.synchronize(feats.device)  # else its time would count as that of what comes next
    return feats


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
