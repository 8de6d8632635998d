"""A training image with its labels, at the size at which it is loaded."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from bana_mm.datasets.image_ids import image_id
from bana_mm.datasets.transforms import BoxPseudoLabel
from bana_mm.datasets.wrappers import base_datasets
from bana_mm.structures import read_label_png


@dataclass
class TrainingExample:
    """An image and what it is trained on.

    Args:
        name (str): Its id.
        image (np.ndarray): (H, W, 3) uint8 BGR.
        labels (dict[str, np.ndarray]): Its label maps by name, (H, W) uint8, 0 background, 1..L, 255 ignored. The first
            is trained on.
        reliable (np.ndarray | None): S, (H, W) bool; None where the pipeline does not say.
        ground_truth (np.ndarray | None): Its mask, (H, W) uint8, if it has one beside these labels.
    """

    name: str
    image: np.ndarray
    labels: dict[str, np.ndarray]
    reliable: np.ndarray | None
    ground_truth: np.ndarray | None

    @property
    def label(self) -> np.ndarray:
        """The map that is trained on."""
        return next(iter(self.labels.values()))


def find_example(name: str, dataset: Dataset) -> TrainingExample:
    """Find an image and load it by the training's own transforms, up to the one that adds ``gt_seg_map``.

    Args:
        name (str): Id, file name or path of the image.
        dataset (Dataset): The training set or a wrapper of it.

    Raises:
        ValueError: If no image has this name or several have it, or no transform gives it a label.
        FileNotFoundError: If its labels are missing.
    """
    datasets = list(base_datasets(dataset))
    found: dict[str, tuple[dict, BaseDataset]] = {}  # by path: a data set may be there twice
    for inner in datasets:
        for index in range(len(inner)):
            item = inner.get_data_info(index)
            if name in (image_id(item), item['img_path']):
                return load_example(item, inner)
            if name in _names(item):
                found.setdefault(item['img_path'], (item, inner))
    if len(found) > 1:
        raise ValueError(f'several images of the training set are called {name!r}: {", ".join(found)}; give the path')
    if found:
        return load_example(*next(iter(found.values())))
    searched = ', '.join(f'{len(inner)} images of {inner.ann_file or inner.data_root}' for inner in datasets)
    raise ValueError(f'image {name!r} is not in the training set ({searched})')


def _names(item: dict) -> set[str]:
    path = Path(item['img_path'])
    return {image_id(item), path.stem, path.name, str(path)}


def load_example(item: dict, dataset: BaseDataset) -> TrainingExample:
    """Load an image by the training's own transforms, up to the one that adds ``gt_seg_map``.

    Args:
        item (dict): As ``dataset.get_data_info`` gives it.
        dataset (BaseDataset): The training set.

    Raises:
        ValueError: If no transform gives it a label.
        FileNotFoundError: If its labels are missing.
    """
    img_id, mask = image_id(item), item.get('seg_map_path')
    results = copy.deepcopy(item)  # transforms change it in place
    for transform in dataset.pipeline.transforms:
        try:
            results = transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'image {img_id!r} can not be loaded with its labels: {error}') from error
        if 'gt_seg_map' in results:
            break
    else:
        raise ValueError(f'image {img_id!r} has no labels: no transform of its pipeline adds gt_seg_map')

    label, reliable = results['gt_seg_map'], results.get('gt_reliable_map')
    labels, ground_truth = {'label': label}, None
    if isinstance(transform, BoxPseudoLabel) and img_id not in transform.mask_ids:
        ground_truth = read_label_png(mask) if mask else None
        if transform.store is not None and transform.store.has(img_id):
            first, *others = transform.store.maps
            labels = {first: label, **{other: transform.store.read(other, img_id) for other in others}}
    return TrainingExample(
        img_id, results['img'].astype(np.uint8), labels, None if reliable is None else reliable == 1, ground_truth
    )
