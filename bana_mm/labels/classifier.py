"""A trained classifier of stage 1, as label generation needs it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn

from bana_mm.models.classifiers.views import extract_views
from bana_mm.structures import ActivationRecipe, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps, Features, activation_maps
from bana_mm.utils.checkpoint import require_checkpoint, weight_problems
from bana_mm.utils.record import file_digest
from bana_mm.utils.safe_loading import read_checkpoint, weights_in

from .data import config_scope
from .item import LabelItem


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
    with config_scope(cfg):
        model = MODELS.build(cfg.model)
    if not hasattr(model, 'class_weight'):
        raise ValueError(
            f'{cfg.filename}: labels are made by a classifier (model.type bana_mm.BoxClassifier or '
            f'bana_mm.ImageClassifier), but this config has model.type {cfg.model.type}'
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
    require_checkpoint(checkpoint, config_name)
    state = weights_in(read_checkpoint(checkpoint), checkpoint)
    problems = weight_problems(model, state)
    if problems:
        raise ValueError(
            f'{checkpoint}: checkpoint of another model than {config_name or type(model).__name__}: '
            f'{"; ".join(problems)}'
        )
    model.load_state_dict(state)


@torch.inference_mode()
def extract_features(
    model: BaseModel, images: Sequence[np.ndarray], recipe: LabelRecipe | ActivationRecipe | None = None
) -> list[Features]:
    """Features of images of one size.

    Args:
        model (BaseModel): A classifier in evaluation mode, on its device.
        images (Sequence[np.ndarray]): (H, W, 3) uint8 RGB, all of one size.
        recipe (LabelRecipe | ActivationRecipe | None): Says which layers and scales, whether flipped too, and in which
            precision. Defaults to None: the last layer and the image's own size only, in the model's precision.

    Returns:
        list[Features]: For each image the features of its views.

    Raises:
        ValueError: If the model's preprocessor pads (labels are made at the image's own size), or its backbone does not
            offer a layer of the recipe.
    """
    size = images[0].shape[:2]
    bgr = [torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))) for image in images]
    inputs = model.data_preprocessor(dict(inputs=bgr, data_samples=None))['inputs']
    if tuple(inputs.shape[2:]) != size:
        raise ValueError(
            f'labels are made at the own size of an image, {size}, but model.data_preprocessor pads it to '
            f'{tuple(inputs.shape[2:])}; set its pad_size_divisor to 1'
        )
    features = extract_views(model.extract_layers, inputs, recipe)
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)  # else its time would count as that of what comes next
    return features


def classifier_maps(model: BaseModel, item: LabelItem, recipe: LabelRecipe | None = None) -> ActivationMaps:
    """Attention and activation maps of an image.

    Args:
        model (BaseModel): A ``BoxClassifier`` in evaluation mode, on its device.
        item (LabelItem): The image and its boxes.
        recipe (LabelRecipe | None): Its views. Defaults to None, the classifier's own recipe.
    """
    recipe = model.label_recipe if recipe is None else recipe
    (features,) = extract_features(model, [item.image], recipe)
    return activation_maps(features, item.layout, model.bap_head.weight.detach().float(), recipe)


def classifier_classes(cfg: Config, checkpoint: str | Path) -> Sequence[str]:
    """Names of the classes that a classifier was trained on: mmengine stores them, else the config's data set says so.

    Args:
        cfg (Config): Its config.
        checkpoint (str | Path): Its checkpoint.

    Raises:
        ValueError: If neither says so.
    """
    loaded = read_checkpoint(checkpoint, mmap=True)
    meta: Mapping[str, Any] = loaded.get('meta', {}).get('dataset_meta') or {}
    if 'classes' in meta:
        return meta['classes']
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader')
    if loader is None:
        raise ValueError(
            f'{checkpoint}: does not name its classes, and {cfg.filename} has no train_dataloader that would; add one'
        )
    dataset = loader['dataset']
    while 'dataset' in dataset:  # a wrapper
        dataset = dataset['dataset']
    return dataset.get('metainfo', {}).get('classes') or DATASETS.get(dataset['type']).METAINFO['classes']


def describe_run(
    config: str | Path, checkpoint: str | Path, recipe: dict[str, Any] | None, classes: Sequence[str]
) -> dict[str, Any]:
    """What decides on labels, for their record.

    Args:
        config (str | Path): Config of stage 1, or the name of its runs, see :func:`bana_mm.utils.config.run_name`.
        checkpoint (str | Path): Its checkpoint.
        recipe (dict | None): Parameters of the labels.
        classes (Sequence[str]): Names of the object classes 1..L.

    Returns:
        dict: JSON-like. The checkpoint is known by the first 16 digits of its SHA-256, wherever it lies.
    """
    return dict(
        config=Path(config).name,
        checkpoint=dict(name=Path(checkpoint).name, sha256=file_digest(checkpoint)),
        recipe=recipe,
        classes=list(classes),
    )
