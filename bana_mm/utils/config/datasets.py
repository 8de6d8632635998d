"""Data sets in configs: what lies inside wrappers, and the pseudo labels of the training set."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mmengine.config import Config

LIST_FOLDER = 'ImageSets/Segmentation'


def inner_dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the (first) data set inside mmengine's wrappers (repeated, balanced, concatenated)."""
    return _inside(dataset)[0]


def _inside(dataset: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The data set inside wrappers, and what leads to it behind the dotted key of the outermost."""
    way = ''
    while True:
        if 'dataset' in dataset:
            dataset, way = dataset['dataset'], f'{way}.dataset'
        elif 'datasets' in dataset:
            dataset, way = dataset['datasets'][0], f'{way}.datasets.0'
        else:
            return dataset, way


def find_pseudo_labels(cfg: Config) -> dict[str, Any] | None:
    """``pseudo_labels`` of the training set, where a config says what it is trained on and where that comes from.

    A config whose data set does not know the field, such as mmseg's own, may have it at its top.

    Args:
        cfg (Config): Any config.

    Returns:
        dict | None: The very dict in the config. None where it says that there are none, as of a training on masks;
        empty where nothing is said.
    """
    loader = cfg.get('train_dataloader') or {}
    dataset = inner_dataset(loader['dataset']) if loader else {}
    return dataset['pseudo_labels'] if 'pseudo_labels' in dataset else cfg.get('pseudo_labels', {})


def place_of_pseudo_labels(cfg: Config) -> str | None:
    """Dotted key of the training set, if it has a field for its pseudo labels."""
    loader = cfg.get('train_dataloader') or {}
    dataset, way = _inside(loader['dataset']) if loader else ({}, '')
    return f'train_dataloader.dataset{way}' if 'pseudo_labels' in dataset else None


def label_splits(cfg: Config) -> tuple[str | None, str | None]:
    """Which labels a training asks for, and on which images they can be evaluated beside it.

    Args:
        cfg (Config): Config of a segmentation model.

    Returns:
        tuple: ``--split`` of ``tools/generate_labels.py`` for the images of the training and of the validation set;
        None where there is none. ``split`` and ``val_split`` of ``pseudo_labels``, if given, stand instead.
    """
    labels = find_pseudo_labels(cfg) or {}
    found = []
    for mode, field in (('train', 'split'), ('val', 'val_split')):
        loader = cfg.get(f'{mode}_dataloader')
        ann_file = inner_dataset(loader['dataset']).get('ann_file') if loader else None
        found.append(labels.get(field) or split_name(ann_file, mode))
    return found[0], found[1]


def split_name(ann_file: str | None, mode: str = 'train') -> str | None:
    """``--split`` of ``tools/generate_labels.py`` for the images of a data set.

    Args:
        ann_file (str | None): List of the images, or COCO's JSON.
        mode (str): Which of the config's dataloaders has it: 'train', 'val' or 'test'. Defaults to 'train'.

    Returns:
        str | None: Name of the list in ``ImageSets/Segmentation``; of a JSON the dataloader's. None for other files.
    """
    path = PurePath(ann_file or '')
    if path.suffix == '.json':
        return mode
    return path.stem if path.suffix == '.txt' and path.parent.as_posix().endswith(LIST_FOLDER) else None
