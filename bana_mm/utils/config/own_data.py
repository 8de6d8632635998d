"""A data set of one's own, said once in one file, put into the configs of all stages."""

import copy
import os.path as osp
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from bana_mm.utils.resources import find_config

from .datasets import inner_dataset
from .files import read_file
from .num_classes import class_names

MODES = ('train', 'val', 'test')
# What tells one data set from another. All else in a data set's config is the stage's: pipeline, pseudo labels ...
_DESCRIPTION = ('type', 'data_root', 'ann_file', 'data_prefix', 'metainfo')
_CLASSIFIERS = ('bana_mm.BoxClassifier', 'bana_mm.ImageClassifier', 'bana_mm.SEAMClassifier')
# Arguments that only data sets of the same type take: they go where the type is another one.
_OF_TYPE = ('difficult', 'id_from', 'img_suffix', 'require_boxes', 'other_classes')
_EXAMPLE = "data = dict(type='bana_mm.VOCBoxDataset', data_root=..., metainfo=dict(classes=(...)), train=..., val=...)"


def apply_data(cfg: Config, path: str | Path) -> None:
    """Replace the data sets of a config by those of a file; the pipelines and all that is the stage's own stay.

    The file has ``data``, a dict of the arguments of the data set that all its parts share (``type``, ``data_root``,
    ``data_prefix``, ``metainfo`` with the ``classes`` ...), and for ``train``, ``val`` and ``test`` the list of images
    (``ann_file``), or a dict of further arguments. Without ``test`` it is ``val`` that is tested on. Without both there
    is no evaluation. A config that trains on instance masks takes a file in COCO's format; its masks are those that the
    classifier makes of the boxes in ``train``.

    Args:
        cfg (Config): Changed in place.
        path (str | Path): The file, see :func:`bana_mm.utils.resources.find_config`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not as it must be, or its data is not what the config needs. The message names the file.
    """
    descriptions = describe_parts(read_data(path))
    in_coco = [str(description.get('ann_file')).endswith('.json') for description in descriptions.values()]
    train = (cfg.get('train_dataloader') or {}).get('dataset')
    if train is not None and inner_dataset(train).get('type') == 'bana_mm.CocoPseudoMaskDataset':
        if not all(in_coco):
            raise ValueError(f"{path}: {cfg.filename} trains on instances, which needs data in COCO's format (JSON)")
        _put_instances(cfg, descriptions)
    else:
        _put_images(cfg, descriptions)


def describe_parts(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The arguments of each data set of a file.

    Args:
        data (Mapping): ``data`` of the file, see :func:`apply_data`.

    Returns:
        dict: The arguments by 'train', 'val' and 'test', without those that ``data`` has not. 'test' is 'val' where
        nothing else is said.
    """
    shared = {key: value for key, value in data.items() if key not in MODES}
    parts = {mode: data.get(mode) for mode in MODES}
    parts['test'] = parts['test'] or parts['val']
    parts = {
        mode: dict(ann_file=part) if isinstance(part, str) else part for mode, part in parts.items() if part is not None
    }
    return {
        mode: {**shared, **part, 'data_prefix': {**shared.get('data_prefix', {}), **part.get('data_prefix', {})}}
        for mode, part in parts.items()
    }


def read_data(path: str | Path) -> dict[str, Any]:
    """``data`` of a data set's file.

    Args:
        path (str | Path): See :func:`bana_mm.utils.resources.find_config`.

    Returns:
        dict: With the names of the classes as a tuple.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not as it must be; the message names it.
    """
    try:
        file = find_config(path)
    except FileNotFoundError:
        raise FileNotFoundError(f'data set file {str(path)!r} does not exist') from None
    data = read_file(file).get('data')
    if not isinstance(data, Mapping):
        raise ValueError(f'{path}: a file of a data set has {_EXAMPLE}')
    missing = [field for field in ('type', 'train') if not data.get(field)]
    if missing:
        raise ValueError(f'{path}: data lacks {" and ".join(missing)}; it must be as in {_EXAMPLE}')
    classes = class_names(data)
    if classes is None:
        raise ValueError(f"{path}: data lacks the names of the classes: metainfo=dict(classes=('cat', 'dog'))")
    return dict(copy.deepcopy(dict(data)), metainfo={**data.get('metainfo', {}), 'classes': tuple(classes)})


def _put_images(cfg: Config, descriptions: Mapping[str, dict[str, Any]]) -> None:
    """The images of a classifier, of its labels, and of a segmentation model."""
    for mode in MODES:
        loader = cfg.get(f'{mode}_dataloader')
        if loader is None:
            continue
        # stage 2 takes its images from test_dataloader, also where nothing can be evaluated
        makes_labels = mode == 'test' and cfg.model.get('type') in _CLASSIFIERS
        description = descriptions.get(mode) or (descriptions['train'] if makes_labels else None)
        if description is None:
            _switch_off(cfg, mode)
            continue
        dataset = inner_dataset(loader['dataset'])
        gone = _DESCRIPTION if description['type'] == dataset.get('type') else _DESCRIPTION + _OF_TYPE
        own = {key: value for key, value in dataset.items() if key not in gone}
        dataset.clear()
        dataset.update({**own, **ConfigDict(copy.deepcopy(description))})


def _put_instances(cfg: Config, descriptions: Mapping[str, dict[str, Any]]) -> None:
    """The images of a model of instances; stage 2 makes a file with masks of the one with boxes."""
    train = descriptions['train']
    dataset = inner_dataset(cfg.train_dataloader['dataset'])
    boxes, images = _absolute(train)
    labels = dataset.get('pseudo_labels')
    if labels is None:
        dataset['ann_file'] = boxes
    else:
        labels.update(boxes=boxes, img_dir=images)
    dataset.update(data_root='', data_prefix=dict(img=images), metainfo=train.get('metainfo'))
    for mode in ('val', 'test'):
        if cfg.get(f'{mode}_dataloader') is None:
            continue
        if mode not in descriptions:
            _switch_off(cfg, mode)
            continue
        ground_truth, images = _absolute(descriptions[mode])
        inner_dataset(cfg[f'{mode}_dataloader']['dataset']).update(
            data_root='',
            ann_file=ground_truth,
            data_prefix=dict(img=images),
            metainfo=descriptions[mode].get('metainfo'),
        )
        evaluators = cfg[f'{mode}_evaluator']
        for metric in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            if metric.get('ann_file'):
                metric['ann_file'] = ground_truth


def _absolute(description: Mapping[str, Any]) -> tuple[str, str]:
    """File of the annotations and folder of the images, below the data set's root."""
    root = description.get('data_root', '')
    return osp.join(root, description['ann_file']), osp.join(root, description['data_prefix'].get('img', ''))


def _switch_off(cfg: Config, mode: str) -> None:
    for part in ('dataloader', 'cfg', 'evaluator'):
        cfg[f'{mode}_{part}'] = None
