"""A trained model of mmseg or mmdet that looks at images in memory, as its test would."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement

from bana_mm.datasets.named_steps import pipeline_steps
from bana_mm.utils.config.files import read_file
from bana_mm.utils.record import file_stamp

from .classifier import classifier_classes, load_strictly
from .data import config_scope


class TrainedModel:
    """A model with its weights and the steps of its test pipeline.

    Args:
        cfg (Config): Its config.
        checkpoint (str): Its checkpoint.
        device (str): Where it runs.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it is that of another model.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        self.cfg = cfg
        with config_scope(cfg):
            model = MODELS.build(cfg.model)
            # Images are in memory, and what is asked for is not known.
            rest = [
                step
                for step in pipeline_steps(test_pipeline(cfg))
                if not step['type'].rpartition('.')[2].startswith('Load')
            ]
            self._pipeline = Compose([dict(type='LoadImageFromNDArray'), *rest])
        load_strictly(model, checkpoint, cfg.filename)
        self.model = model.to(device).eval()
        classes = tuple(classifier_classes(cfg, checkpoint))
        self.classes = classes[1:] if classes[0] == 'background' else classes
        """Names of the object classes 1..L."""

    def inputs(self, image: np.ndarray) -> dict[str, Any]:
        """An image as the model's data preprocessor makes it: a batch of one.

        Args:
            image (np.ndarray): (H, W, 3) uint8 RGB.

        Returns:
            dict: ``inputs`` and ``data_samples``.
        """
        with config_scope(self.cfg):
            height, width = image.shape[:2]  # as a data set knows them, for steps that compare
            bgr = np.ascontiguousarray(image[..., ::-1])
            item = self._pipeline(dict(img=bgr, img_id=0, img_path='', height=height, width=width))
        batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        return self.model.data_preprocessor(batch, False)

    @torch.no_grad()
    def predict(self, image: np.ndarray) -> BaseDataElement:
        """What the model finds in an image.

        Args:
            image (np.ndarray): (H, W, 3) uint8 RGB.

        Returns:
            BaseDataElement: Of mmseg with ``pred_sem_seg``, of mmdet with ``pred_instances``, in the image's size.
        """
        (sample,) = self.model(**self.inputs(image), mode='predict')
        return sample


def sure_instances(found: Any, min_score: float, size: tuple[int, int]) -> tuple[Any, np.ndarray]:
    """The instances of a prediction that have at least a score.

    Args:
        found (InstanceData): ``pred_instances`` of :meth:`TrainedModel.predict`.
        min_score (float): Those below are left out.
        size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        tuple[InstanceData, np.ndarray]: They, on the CPU, and their masks, (K, H, W) bool; empty ones of a model that
        finds boxes alone.
    """
    kept = found[found.scores >= min_score].cpu()
    return kept, kept.masks.numpy().astype(bool) if 'masks' in kept else np.zeros((len(kept.labels), *size), bool)


def test_pipeline(cfg: Config) -> Mapping[str, Any] | Sequence[Any]:
    """Steps of a config's test, also where its data has nothing to test on.

    Raises:
        ValueError: If it has none.
    """
    loader = cfg.get('test_dataloader')
    steps = cfg.get('test_pipeline') if loader is None else loader['dataset'].get('pipeline')
    if steps is None:
        raise ValueError(f'{cfg.filename}: has neither test_dataloader.dataset.pipeline nor test_pipeline')
    return steps


def trained_model(config: str, checkpoint: str, device: str) -> TrainedModel:
    """A process's own model of a config and a checkpoint: of several calls the same, until a file is written anew."""
    return _trained_model(config, checkpoint, device, file_stamp(config), file_stamp(checkpoint))


@lru_cache(maxsize=2)
def _trained_model(config: str, checkpoint: str, device: str, *stamps: tuple[int, int]) -> TrainedModel:
    return TrainedModel(read_file(config), checkpoint, device)


def rows_of_classes(own: Sequence[str], wanted: Sequence[str], same_as: Mapping[str, str | None]) -> list[int]:
    """Where a model has the classes to label.

    Args:
        own (Sequence[str]): Names of its object classes.
        wanted (Sequence[str]): Names of the object classes to label.
        same_as (Mapping[str, str | None]): For wanted classes that it knows by another name, that name.

    Returns:
        list[int]: For each wanted class its position in ``own``.

    Raises:
        ValueError: If it does not know a class.
    """
    names = [same_as.get(name, name) for name in wanted]
    for name, known in zip(wanted, names):
        if known not in own:
            raise ValueError(
                f'the model does not know the class {name!r}, only {", ".join(own)}; if it is there under another name '
                f'say so (--same-as {name}=OTHER)'
            )
    return [own.index(name) for name in names]
