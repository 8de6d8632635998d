"""The loop of stage 2: network and label mathematics here, the CRF in worker processes meanwhile."""

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from torch.utils.data import DataLoader, Dataset

from .crf_pool import CRFPool, Done
from .generator import LabelGenerator
from .label_run import LabelRun, share_progress
from .network import Features, extract_features
from .recipe import LabelRecipe
from .sources import split_instances
from .store import LabelStore
from .task import LabelTask, crf_label, crf_labels


class ImageJob(ABC):
    """What :func:`label_images` does with each image.

    Attributes:
        recipe (LabelRecipe): Views for the network, and the CRF's backend.
        device (torch.device): Device of the network.
    """

    recipe: LabelRecipe
    device: torch.device

    @staticmethod
    @abstractmethod
    def work(*args: Any, device: str | torch.device = 'cpu') -> Any:
        """What worker processes run, with the arguments from :meth:`prepare`: a function that pickle finds."""

    @abstractmethod
    def prepare(self, index: int, image: np.ndarray, features: Features) -> tuple[tuple, Any]:
        """Arguments of :meth:`work`, and what :meth:`finish` is to get back.

        Args:
            index (int): Of the image in the dataset.
            image (np.ndarray): (H, W, 3) uint8, RGB, as stored.
            features (Features): What the network says.
        """

    @abstractmethod
    def finish(self, index: int, features: Features, context: Any, result: Any) -> None:
        """Store the labels.

        Args:
            index, features: As for :meth:`prepare`.
            context (Any): From :meth:`prepare`.
            result (Any): From :meth:`work`.
        """

    def work_on_device(self, batch: Sequence[tuple]) -> list[Any]:
        """Results of :meth:`work` for the arguments of several images, on the network's device in this process."""
        return [self.work(*args, device=self.device) for args in batch]

    def is_on_device(self) -> bool:
        """Whether :meth:`work_on_device` takes the place of worker processes: on a GPU, but for pydensecrf."""
        return self.device.type != 'cpu' and self.recipe.crf['backend'] != 'pydensecrf'


def label_images(
    model: BaseModel,
    dataset: BaseDataset,
    job: ImageJob,
    workers: int,
    loading_workers: int,
    batch_size: int,
    indices: Sequence[int],
) -> LabelRun:
    """Run the network on images of a dataset, and a job's work on what it says, in worker processes.

    What the job gets depends neither on ``workers`` nor on where an earlier run was killed, and on ``batch_size`` only
    as far as the network's rounding does.

    Args:
        model (BaseModel): Trained ``BoxClassifier`` in evaluation mode, on its device.
        dataset (BaseDataset): Images with boxes at their own size, packed by mmdet's ``PackDetInputs``.
        job (ImageJob): What to do with an image.
        workers (int): Processes for the job's work (the CRF); 0 works in this one. On a GPU the CRF's torch backend,
            which 'auto' means there, runs on it, without these.
        loading_workers (int): Processes that read images; 0 reads them in this one.
        batch_size (int): Most images, all of one size, that the network sees at once.
        indices (Sequence[int]): Which images.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be loaded or labelled (the message names it), or a worker dies.
    """
    start = time.perf_counter()
    seconds: dict[str, float] = defaultdict(float)
    loader = DataLoader(
        _NamedItems(dataset),
        batch_sampler=size_batches(dataset, indices, batch_size),
        num_workers=loading_workers,
        collate_fn=_as_is,
    )

    def prepared_batches() -> Iterator[list[tuple[str, tuple, tuple]]]:
        for numbered in loader:
            items = [item for _, item in numbered]
            paths = [item['data_samples'].img_path for item in items]
            images = [_stored_image(item) for item in items]
            with _measured(seconds, 'network'), _naming(', '.join(paths)):
                batch = _features(model, items, job.recipe)
            prepared = []
            for (index, _), path, image, features in zip(numbered, paths, images, batch):
                with _measured(seconds, 'labels'), _naming(path):
                    args, context = job.prepare(index, image, features)
                prepared.append((path, args, (index, features, context)))
            yield prepared

    on_device = job.is_on_device()
    workers = 0 if on_device else workers
    with CRFPool(job.work, workers) as pool, share_progress(len(dataset), len(indices)) as progress:
        batches = prepared_batches()
        results = _on_device(job, batches, seconds) if on_device else pool.map(chain.from_iterable(batches))
        for path, (index, features, context), result in results:
            with _measured(seconds, 'labels'), _naming(path):
                job.finish(index, features, context, result)
            progress.update()
    if not on_device:
        seconds['waiting for workers'] = pool.wait_seconds
    return LabelRun(
        len(indices),
        time.perf_counter() - start,
        pool.busy_seconds + seconds.get('on the device', 0.0),
        workers,
        dict(seconds),
        len(dataset) - len(indices),
    )


def generate_labels(
    model: BaseModel,
    dataset: BaseDataset,
    store: LabelStore,
    generator: LabelGenerator,
    workers: int = 0,
    loading_workers: int = 0,
    batch_size: int = 1,
    indices: Sequence[int] | None = None,
) -> LabelRun:
    """Write Y_crf and Y_ret for images of a dataset, see :func:`label_images`.

    Args:
        model, dataset: See there.
        store (LabelStore): A store that was begun, see :meth:`LabelStore.begin`.
        generator (LabelGenerator): Recipe and classifier weights.
        workers, loading_workers, batch_size: See there. Default to 0, 0 and 1.
        indices (Sequence[int] | None): Which images. Defaults to None, those that the store lacks.

    Returns:
        LabelRun: Counts and times.
    """
    if indices is None:
        indices = [i for i in range(len(dataset)) if not store.has(dataset.get_data_info(i)['img_id'])]
    return label_images(
        model, dataset, MapJob(dataset, store, generator), workers, loading_workers, batch_size, indices
    )


class MapJob(ImageJob):
    """Y_crf and Y_ret into a label store."""

    work = staticmethod(crf_label)

    def __init__(self, dataset: BaseDataset, store: LabelStore, generator: LabelGenerator) -> None:
        self.dataset = dataset
        self.store = store
        self.generator = generator
        self.recipe = generator.recipe
        self.device = generator.weight.device

    def prepare(self, index: int, image: np.ndarray, features: Features) -> tuple[tuple, LabelTask]:
        boxes, labels, ignored = map(torch.from_numpy, split_instances(self.dataset.get_data_info(index)['instances']))
        task = self.generator.prepare(features, image.shape[:2], boxes, labels, ignored)
        return (image, task), task

    def work_on_device(self, batch: Sequence[tuple[np.ndarray, LabelTask]]) -> list[np.ndarray]:
        return crf_labels(batch, self.device)

    def finish(self, index: int, features: Features, task: LabelTask, y_crf: np.ndarray) -> None:
        y_ret = self.generator.retrieve(features, task, y_crf)
        self.store.write(self.dataset.get_data_info(index)['img_id'], Y_crf=y_crf, Y_ret=y_ret)


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


def _features(model: BaseModel, items: Sequence[dict[str, Any]], recipe: LabelRecipe) -> list[Features]:
    """Features of each item. Annotations may be wrong about sizes, so these are compared once more."""
    groups = defaultdict(list)
    for position, item in enumerate(items):
        groups[item['inputs'].shape].append(position)
    features: dict[int, Features] = {}
    for positions in groups.values():
        features.update(zip(positions, extract_features(model, [items[position] for position in positions], recipe)))
    return [features[position] for position in range(len(items))]


def _on_device(
    job: ImageJob, batches: Iterable[list[tuple[str, tuple, tuple]]], seconds: dict[str, float]
) -> Iterator[Done]:
    """What :meth:`CRFPool.map` yields, made by the job on its device, a batch at once."""
    for batch in batches:
        paths, args, contexts = zip(*batch)
        with _measured(seconds, 'on the device'), _naming(', '.join(paths)):
            results = job.work_on_device(args)
        yield from map(Done, paths, contexts, results)


class _NamedItems(Dataset):
    """The items of a dataset with their numbers; an error in loading one names its image."""

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, dict[str, Any]]:
        with _naming(self.dataset.get_data_info(index)['img_path']):
            return index, self.dataset[index]


def _as_is(items: list) -> list:
    """DataLoader would turn arrays into tensors."""
    return items


def _stored_image(item: dict[str, Any]) -> np.ndarray:
    """The image as LoadImageFromFile has read it (in BGR) and nothing has changed it: (H, W, 3) uint8 RGB."""
    image, sample = item['inputs'], item['data_samples']
    if image.dtype != torch.uint8 or image.shape[0] != 3 or tuple(image.shape[1:]) != tuple(sample.ori_shape[:2]):
        found, stored = ' x '.join(map(str, image.shape)), ' x '.join(map(str, sample.ori_shape[:2]))
        raise ValueError(
            f'{sample.img_path}: labels are made for the stored image, 3 x {stored} uint8, but the test '
            f'pipeline gives {found} {image.dtype}; it must only load, annotate and pack'
        )
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
