"""A classifier at work: what several sources and kinds of labels make of an image is computed once."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from bana_mm.structures import ActivationRecipe, LabelRecipe
from bana_mm.structures.activation_maps import Features
from bana_mm.utils.config.files import read_file
from bana_mm.utils.record import file_stamp
from bana_mm.utils.stopwatch import measured

from .classifier import build_classifier, classifier_classes, extract_features
from .generator import LabelGenerator
from .image_generator import ImageLabelGenerator
from .instance_generator import InstanceLabelGenerator
from .item import LabelItem
from .sources.answer import Task

Generator = LabelGenerator | InstanceLabelGenerator | ImageLabelGenerator


class PreparedImage:
    """What an image is waiting for: the features that its last step needs, and the CRF.

    Attributes:
        task (Task | None): The CRF; None where it has run on the device.
    """

    def __init__(self, generator: Generator, features: Features, item: LabelItem) -> None:
        self.generator = generator
        self.features = features
        self.task: Task | None = generator.prepare(features, item.image, item.layout)
        self._result: Any = None
        self._finished: Any = None

    def set_result(self, result: Any) -> None:
        """Keep the result of a CRF that has run on the device."""
        self.task, self._result = None, result

    def finish(self, item: LabelItem, result: Any) -> Any:
        """Both answers, from the result of the task; computed once for all sources that share it."""
        if self._finished is None:
            found = self._result if self.task is None else result
            self._finished = self.generator.finish(self.features, item.layout, found)
        return self._finished


class ClassifierEngine:
    """A network, and what it made of the last images.

    Args:
        cfg (Config): Config of the classifier.
        checkpoint (str): Its checkpoint.
        device (str): Where it runs; a CRF in torch runs there too, unless that is the CPU.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        self.cfg = cfg
        self.checkpoint = checkpoint
        self.model = build_classifier(cfg, checkpoint, device)
        self.device = torch.device(device)
        self._features, self._prepared = _Latest(), _Latest()

    @cached_property
    def classes(self) -> Sequence[str]:
        """Names of the object classes that it was trained on."""
        return classifier_classes(self.cfg, self.checkpoint)

    def prepare(self, items: Sequence[LabelItem], generator: Generator) -> list[tuple[Task | None, PreparedImage]]:
        """The first step, see :meth:`bana_mm.labels.LabelSource.prepare`.

        Args:
            items (Sequence[LabelItem]): Images.
            generator (Generator): Makes label maps or masks from the features.
        """
        images = tuple(item.image for item in items)
        boxes = [(item.layout.box_classes, item.layout.boxes.tolist(), item.layout.ignored.tolist()) for item in items]
        key = (type(generator), generator.recipe, boxes)
        prepared = self._prepared.get(
            images,
            lambda other: other[:-1] == key and torch.equal(other[-1], generator.weight),
            (*key, generator.weight),
            lambda: self._prepare(items, images, generator),
        )
        return [(one.task, one) for one in prepared]

    def _prepare(
        self, items: Sequence[LabelItem], images: tuple[np.ndarray, ...], generator: Generator
    ) -> list[PreparedImage]:
        recipe = getattr(generator.recipe, 'unary', generator.recipe)  # of instances, it holds a recipe
        views = (recipe.layers, recipe.scales, recipe.flip, recipe.amp)
        features = self._features.get(
            images, lambda other: other == views, views, lambda: self._extract(images, recipe)
        )
        with measured('labels'):
            prepared = [PreparedImage(generator, *of_item) for of_item in zip(features, items)]
        if self.device.type != 'cpu' and recipe.crf['backend'] != 'pydensecrf':
            with measured('on the device'):
                for one, result in zip(prepared, generator.run_on_device([one.task for one in prepared])):
                    one.set_result(result)
        return prepared

    def _extract(self, images: tuple[np.ndarray, ...], recipe: LabelRecipe | ActivationRecipe) -> list[Features]:
        """Features of each image. Only those of one size go through the network at once."""
        groups = defaultdict(list)
        for position, image in enumerate(images):
            groups[image.shape].append(position)
        features: dict[int, Features] = {}
        with measured('network'):
            for positions in groups.values():
                found = extract_features(self.model, [images[position] for position in positions], recipe)
                features.update(zip(positions, found))
        return [features[position] for position in range(len(images))]


class _Latest:
    """The last value computed from some images."""

    def __init__(self) -> None:
        self._images: tuple[np.ndarray, ...] | None = None
        self._key: Any = None
        self._value: Any = None

    def get(
        self, images: tuple[np.ndarray, ...], fits: Callable[[Any], bool], key: Any, make: Callable[[], Any]
    ) -> Any:
        """The value for these very images, made where the last one is of others or ``fits`` refuses its key."""
        known = self._images is not None and len(images) == len(self._images)
        if not (known and all(a is b for a, b in zip(images, self._images)) and fits(self._key)):
            self._images, self._key, self._value = images, key, make()
        return self._value


def classifier_engine(config: str | Config, checkpoint: str, device: str) -> ClassifierEngine:
    """The engine of a config and checkpoint, a process's own: of several calls the same, until a file is written anew.

    Args:
        config (str | Config): Path, or a config that was read and maybe changed.
        checkpoint (str): Checkpoint trained with it.
        device (str): Where it runs.
    """
    key = (config, file_stamp(config)) if isinstance(config, str) else _ConfigKey(config)
    return _engine(key, (checkpoint, file_stamp(checkpoint)), device)


class _ConfigKey:
    """A config that can be looked up by its settings."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.settings = (cfg.filename, repr(cfg.to_dict()))

    def __hash__(self) -> int:
        return hash(self.settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ConfigKey) and self.settings == other.settings


Stamped = tuple[str, tuple[int, int]]  # a path, and what changes when the file does


@lru_cache(maxsize=2)
def _engine(config: Stamped | _ConfigKey, checkpoint: Stamped, device: str) -> ClassifierEngine:
    cfg = config.cfg if isinstance(config, _ConfigKey) else read_file(config[0])
    return ClassifierEngine(cfg, checkpoint[0], device)
