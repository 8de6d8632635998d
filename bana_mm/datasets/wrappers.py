"""What lies inside mmengine's data set wrappers."""

from collections.abc import Iterator

from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset


def base_datasets(dataset: Dataset) -> Iterator[BaseDataset]:
    """The data sets inside mmengine's wrappers (repeated, concatenated, balanced), with their lists loaded.

    Args:
        dataset (Dataset): A data set or a wrapper of one or several.
    """
    if hasattr(dataset, 'datasets'):
        for inner in dataset.datasets:
            yield from base_datasets(inner)
    elif hasattr(dataset, 'dataset'):
        yield from base_datasets(dataset.dataset)
    elif isinstance(dataset, BaseDataset):
        dataset.full_init()
        yield dataset
