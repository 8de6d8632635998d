"""What label generation needs from a config of stage 1: the trained classifier and the images."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import nn

from bana_mm.utils.checkpoint import allow_mmengine_checkpoints, weight_problems
from bana_mm.utils.record import file_digest
from bana_mm.utils.resources import tool_line

DEFAULT_SPLIT = 'train_aug'


def build_classifier(cfg: Config, checkpoint: str | Path, device: str | torch.device = 'cpu') -> BaseModel:
    """The classifier of a config with the weights of a checkpoint, in evaluation mode.

    Args:
        cfg (Config): Config of stage 1.
        checkpoint (str | Path): Checkpoint that was trained with it.
        device (str | torch.device): Where to put it. Defaults to 'cpu'.

    Returns:
        BaseModel: The model.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it can't be read or belongs to another model.
    """
    with _default_scope(cfg):
        model = MODELS.build(cfg.model)
    if not hasattr(model, 'bap_head'):
        raise ValueError(
            f'{cfg.filename}: labels are made by a classifier (model.type bana_mm.BoxClassifier), '
            f'but this config has model.type {cfg.model.type}'
        )
    load_strictly(model, checkpoint, cfg.filename)
    return model.to(device).eval()


def load_strictly(model: nn.Module, checkpoint: str | Path, config_name: str | None = None) -> None:
    """Load a checkpoint that must hold exactly the model's weights.

    Args:
        model (nn.Module): Model to fill.
        checkpoint (str | Path): File written by mmengine, or a bare state dict.
        config_name (str, optional): Config of the model, for error messages. Defaults to None.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it can't be read, or its names or shapes are not the model's.
    """
    if not Path(checkpoint).is_file():
        train = tool_line('train.py', config_name or 'CONFIG')
        raise FileNotFoundError(f'{checkpoint}: checkpoint does not exist; train the model first ({train})')
    allow_mmengine_checkpoints()
    try:
        loaded = torch.load(checkpoint, map_location='cpu', weights_only=True)
        state = loaded.get('state_dict', loaded)
        problems = weight_problems(model, state)
    except Exception as error:  # torch.load fails in many ways
        raise ValueError(f'{checkpoint}: not a checkpoint that can be read ({error})') from error

    if problems:
        raise ValueError(
            f'{checkpoint}: checkpoint of another model than {config_name or type(model).__name__}: '
            f'{"; ".join(problems)}'
        )
    model.load_state_dict(state)


def build_label_dataset(cfg: Config, split: str | None = None) -> BaseDataset:
    """The images to label, loaded as for a test.

    Args:
        cfg (Config): Config of stage 1.
        split (str | None): Name of a file in ``ImageSets/Segmentation``, without ``.txt``. Data sets in COCO's format
            have other names: 'train', 'val' or 'test' are the images of that dataloader of the config. Defaults to
            None, 'train_aug' or, in COCO's format, 'train'.

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
        config['ann_file'] = f'ImageSets/Segmentation/{split or DEFAULT_SPLIT}.txt'
    with _default_scope(cfg):
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


def _default_scope(cfg: Config) -> AbstractContextManager:
    """The config's scope for as long as something is built: a training of mmseg around it keeps its own."""
    return DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet'))


def describe_run(cfg: Config, checkpoint: str | Path, recipe: dict[str, Any], classes: list[str]) -> dict[str, Any]:
    """What decides on the labels, for the store's ``meta.json``.

    Args:
        cfg (Config): Config of stage 1.
        checkpoint (str | Path): Its checkpoint.
        recipe (dict): Parameters of the labels.
        classes (list[str]): Names of the object classes 1..L.

    Returns:
        dict: JSON-like. The checkpoint is known by the first 16 digits of its SHA-256, wherever it lies.
    """
    return dict(
        config=Path(cfg.filename).name,
        checkpoint=dict(name=Path(checkpoint).name, sha256=file_digest(checkpoint)),
        recipe=recipe,
        classes=list(classes),
    )
