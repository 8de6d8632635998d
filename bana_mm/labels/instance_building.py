"""A COCO file of boxes and a trained classifier in, a COCO file of pseudo masks out."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.dist import get_rank
from mmengine.registry import DATASETS, DefaultScope

from bana_mm.datasets import CocoBoxDataset
from bana_mm.datasets.coco_files import read_coco
from bana_mm.utils.distributed import on_first_rank
from bana_mm.utils.record import check_record, file_digest

from .building import build_classifier, describe_run
from .coco_json import read_record, write_pseudo_masks
from .coco_json_parts import LabelParts
from .instance import InstanceLabelGenerator
from .instance_classes import weight_of_classes
from .instance_runner import generate_instance_labels
from .label_run import LabelRun, label_missing


def make_pseudo_masks(
    cfg: Config,
    checkpoint: str | Path,
    ann_file: str | Path,
    out: str | Path,
    img_dir: str | Path | None = None,
    same_as: Mapping[str, str | None] | None = None,
    workers: int = 0,
    batch_size: int = 1,
    overwrite: bool = False,
    device: str | torch.device = 'cpu',
) -> LabelRun | None:
    """Label all instances of a COCO file. Each rank takes a share of the images.

    Until the end the labels of finished images are in ``OUT.parts``; a run that was killed goes on from there.

    Args:
        cfg (Config): Config of the classifier, with ``instance_recipe`` if it is to differ from the defaults of
            :class:`bana_mm.labels.instance_recipe.InstanceRecipe`.
        checkpoint (str | Path): Checkpoint trained with it. It may know other classes than the file has.
        ann_file (str | Path): COCO's JSON of instances, with or without masks.
        out (str | Path): File to write.
        img_dir (str | Path | None): Folder of the images. Defaults to None, see :func:`image_folder`.
        same_as (Mapping[str, str | None] | None): See :func:`bana_mm.labels.instance_classes.weight_of_classes`.
            Defaults to None.
        workers (int): Processes of each rank for the CRF; 0 for none. Defaults to 0.
        batch_size (int): Most images of one size that the network sees at once. Defaults to 1.
        overwrite (bool): Make all labels anew. Defaults to False.
        device (str | torch.device): Of the network. Defaults to 'cpu'.

    Returns:
        LabelRun | None: Counts and times; None on all ranks but the first.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If a file is not as it must be, or ``out`` holds labels that were made in another way.
        RuntimeError: If an image can't be labelled.
    """
    out = Path(out)
    if out.exists() and out.samefile(ann_file):
        raise ValueError(f'{out}: is the file of boxes; choose another name for that of the masks')
    model = build_classifier(cfg, checkpoint, device)
    dataset = build_instance_dataset(cfg, ann_file, img_dir)
    classes = dataset.metainfo['classes']
    own = classifier_classes(cfg, checkpoint)
    weight, unseen = weight_of_classes(model.bap_head.weight.detach(), own, classes, same_as)
    maker = InstanceLabelGenerator(weight, cfg.get('instance_recipe'))
    record = dict(
        describe_run(cfg, checkpoint, maker.recipe.to_dict(), classes),
        unseen=unseen,
        boxes=dict(name=Path(ann_file).name, sha256=file_digest(ann_file)),
    )
    image_ids = [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]
    if on_first_rank(_is_there, out, record, overwrite):
        return LabelRun(0, 0.0, 0.0, 0, skipped=len(image_ids)) if get_rank() == 0 else None

    out.parent.mkdir(parents=True, exist_ok=True)
    parts = LabelParts(out.with_name(out.name + '.parts'))
    label = partial(
        generate_instance_labels,
        model,
        dataset,
        parts,
        maker,
        workers,
        cfg.test_dataloader.get('num_workers', 0),
        batch_size,
        rank=get_rank(),
    )
    run = label_missing(parts, image_ids, record, overwrite, label)
    if run is not None:
        write_pseudo_masks(out, ann_file, parts, image_ids, record)
        parts.remove()
    return run


def build_instance_dataset(cfg: Config, ann_file: str | Path, img_dir: str | Path | None = None) -> BaseDataset:
    """The images and boxes of a COCO file, all of its categories being classes in the order of the file.

    Args:
        cfg (Config): Config of the classifier; its ``backend_args``, if any, say how images are read.
        ann_file (str | Path): COCO's JSON of instances.
        img_dir (str | Path | None): Folder of the images. Defaults to None, see :func:`image_folder`.
    """
    categories = read_coco(ann_file, with_masks=False)['categories']
    if not categories:
        raise ValueError(f'{ann_file}: categories is empty')
    backend_args = cfg.get('backend_args')
    pipeline = [
        dict(type='LoadImageFromFile', backend_args=backend_args),
        dict(type='bana_mm.CheckImageSize'),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
    ]
    with DefaultScope.overwrite_default_scope('mmdet'):
        return CocoBoxDataset(
            os.path.abspath(ann_file),
            data_prefix=dict(img=str(img_dir or image_folder(ann_file))),
            pipeline=pipeline,
            metainfo=dict(classes=[category['name'] for category in categories]),
            test_mode=True,
            backend_args=backend_args,
        )


def image_folder(ann_file: str | Path) -> Path:
    """Where the images of a file in COCO's layout are: ``ROOT/NAME`` for ``ROOT/annotations/instances_NAME.json``.

    Args:
        ann_file (str | Path): COCO's JSON of instances.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    path = Path(ann_file).absolute()
    folder = path.parent.parent / path.stem.removeprefix('instances_')
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: the folder of {ann_file}'s images does not exist; name it with --img-dir")
    return folder


def classifier_classes(cfg: Config, checkpoint: str | Path) -> Sequence[str]:
    """Names of the classes that a classifier was trained on: mmengine stores them, else the config's data set says so.

    Args:
        cfg (Config): Its config.
        checkpoint (str | Path): Its checkpoint.
    """
    loaded = torch.load(checkpoint, map_location='cpu', weights_only=True, mmap=True)
    meta: Mapping[str, Any] = loaded.get('meta', {}).get('dataset_meta') or {}
    if 'classes' in meta:
        return meta['classes']
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:  # a wrapper
        dataset = dataset['dataset']
    return dataset.get('metainfo', {}).get('classes') or DATASETS.get(dataset['type']).METAINFO['classes']


def _is_there(out: Path, record: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether these very labels are finished."""
    if overwrite or not out.exists():
        return False
    stored = read_record(out)
    if stored is None:
        raise ValueError(f'{out}: is there and was not written by this tool; choose another file, or --overwrite')
    check_record(out, stored, record, 'its masks were made', 'choose another file, or make all anew with --overwrite')
    return True
