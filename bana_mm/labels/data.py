"""The images that are to be labelled."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from bana_mm.datasets import CocoBoxDataset
from bana_mm.datasets.coco_files import image_folder, object_names, read_coco
from bana_mm.utils.config import LIST_FOLDER, label_splits

DEFAULT_SPLIT = 'train_aug'


def build_label_dataset(cfg: Config, split: str | None = None) -> BaseDataset:
    """The images to label, loaded as for a test.

    Args:
        cfg (Config): Config of stage 1.
        split (str | None): Name of a file in ``ImageSets/Segmentation``, without ``.txt``. Data sets in COCO's format
            have other names: 'train', 'val' or 'test' are the images of that dataloader of the config. Defaults to
            None, the list of its train_dataloader if that is in this folder, else 'train_aug'; in COCO's format
            'train'.

    Returns:
        BaseDataset: The dataset.

    Raises:
        FileNotFoundError: If the split, an image or its boxes are missing.
        ValueError: If a config of data in COCO's format has no such dataloader.
    """
    config = dict(cfg.test_dataloader.dataset, test_mode=True)
    if str(config['ann_file']).endswith('.json'):
        config.update(_images_of_loader(cfg, split or 'train'))
    else:
        config['ann_file'] = f'{LIST_FOLDER}/{split or label_splits(cfg)[0] or DEFAULT_SPLIT}.txt'
    with config_scope(cfg):
        return DATASETS.build(config)


def _images_of_loader(cfg: Config, split: str) -> dict[str, Any]:
    """Where the images and boxes of one of the config's dataloaders are."""
    dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
    if dataset is None:
        raise ValueError(
            f"{cfg.filename}: the splits of a data set in COCO's format are train, val and test, as the "
            f"config's dataloaders; there is no {split}_dataloader"
        )
    while 'ann_file' not in dataset:  # a wrapper
        dataset = dataset['dataset']
    return {field: dataset[field] for field in ('ann_file', 'data_root', 'data_prefix') if field in dataset}


def build_coco_dataset(
    ann_file: str | Path,
    img_dir: str | Path | None = None,
    backend_args: Mapping[str, Any] | None = None,
    id_from: str = 'id',
) -> BaseDataset:
    """The images and boxes of a COCO file, all of its categories being classes in the order of the file.

    Args:
        ann_file (str | Path): COCO's JSON of instances.
        img_dir (str | Path | None): Folder of the images. Defaults to None, the usual one that has them, see
            :func:`bana_mm.datasets.coco_files.image_folder`.
        backend_args (Mapping | None): How images are read, see mmengine's file backends. Defaults to None.
        id_from (str): What ``img_id`` is: 'id', the image's number in the file, or 'file_name', its name without
            suffix, by which label maps are stored. Defaults to 'id'.

    Raises:
        FileNotFoundError: If the file, the folder or an image is missing.
        ValueError: If the file is not as it must be.
    """
    content = read_coco(ann_file, with_masks=False)
    used = {annotation['category_id'] for annotation in content['annotations']}
    classes = object_names(content, used)
    if not classes:
        raise ValueError(f'{ann_file}: categories is empty')
    img_dir = img_dir or image_folder(ann_file, content)
    if img_dir is None:
        raise FileNotFoundError(
            f'{ann_file}: the folder of its images does not exist where it usually is; name it with --img-dir'
        )
    with DefaultScope.overwrite_default_scope('mmdet'):
        return CocoBoxDataset(
            os.path.abspath(ann_file),
            data_prefix=dict(img=str(img_dir)),
            pipeline=[],
            id_from=id_from,
            metainfo=dict(classes=classes),
            test_mode=True,
            backend_args=backend_args,
        )


def config_scope(cfg: Config) -> AbstractContextManager:
    """The config's scope for as long as something is built: a training of mmseg around it keeps its own."""
    return DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet'))
