"""Labels of a trained classifier, image by image."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bana_mm.labels.recipe import LabelRecipe
from bana_mm.labels.task import crf_label
from bana_mm.registry import LABEL_SOURCES

from .base import LabelSource


class NetworkSource(LabelSource):
    """What a classifier of stage 1 makes of an image (paper Sec. 3.2), as ``tools/generate_labels.py`` stores it.

    Each process builds the network when it labels its first image, and of several sources with one checkpoint only
    once; what they share of an image is computed once. Still it takes about a second an image on a CPU, for the network
    and the CRF, each time the image is asked for: for a training, store the labels first.

    Args:
        config (str | Path): Config of the classifier.
        checkpoint (str | Path): Checkpoint trained with it.
        recipe (dict | None): Changes of the config's ``label_recipe``, see :meth:`make_recipe`. Defaults to None.
        device (str | None): Where the network runs. Defaults to None: on a GPU where there is one, except in a data
            loader's worker process.

    Raises:
        FileNotFoundError: If config or checkpoint is missing.
    """

    text_fields = ('config', 'checkpoint')
    map_name = 'Y_crf'
    recipe_changes: dict[str, Any] = {}  # of every instance

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path,
        recipe: dict[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        for kind, path in (('config', config), ('checkpoint', checkpoint)):
            if not Path(path).is_file():
                raise FileNotFoundError(f'{path}: {kind} of label source {self.name!r} does not exist')
        self.config = str(config)
        self.checkpoint = str(checkpoint)
        self.recipe = dict(recipe or {})
        self.device = device

    @classmethod
    def check_model(cls, model: torch.nn.Module, config: str) -> None:
        """Refuse a classifier of another kind, with a ValueError that names its config."""

    @classmethod
    def make_recipe(cls, model: torch.nn.Module, changes: dict[str, Any] | None = None) -> LabelRecipe:
        """The recipe of a classifier, or the one that ``changes['recipe']`` names, with other values in some fields.

        Args:
            model (nn.Module): The classifier.
            changes (dict | None): Fields to change; those of ``crf`` one by one. Defaults to None.
        """
        changes = {**(changes or {}), **cls.recipe_changes}
        fields = {} if 'recipe' in changes else model.label_recipe.to_dict()
        return LabelRecipe.from_cfg({**fields, **changes, 'crf': {**fields.get('crf', {}), **changes.get('crf', {})}})

    def label_map(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None, ignored: np.ndarray
    ) -> np.ndarray:
        in_loader = torch.utils.data.get_worker_info() is not None  # forked, where CUDA can't be used
        device = self.device or ('cuda' if torch.cuda.is_available() and not in_loader else 'cpu')
        classifier = _classifier(self.config, self.checkpoint, device)
        self.check_model(classifier.model, self.config)
        recipe = self.make_recipe(classifier.model, self.recipe)
        return classifier.maps(image, boxes, labels, ignored, recipe)[self.map_name].copy()


@LABEL_SOURCES.register_module(name=['bana_crf', 'BanaCRFSource'])
class BanaCRFSource(NetworkSource):
    """Y_crf."""

    name = 'bana_crf'


@LABEL_SOURCES.register_module(name=['bana_crf_cam', 'BanaCRFCamSource'])
class BanaCRFCamSource(NetworkSource):
    """Y_crf "w/o u_0": the background classifier's activation map takes the place of the attention."""

    name = 'bana_crf_cam'
    recipe_changes = dict(background='cam')


@LABEL_SOURCES.register_module(name=['bana_ret', 'BanaRetSource'])
class BanaRetSource(NetworkSource):
    """Y_ret."""

    name = 'bana_ret'
    map_name = 'Y_ret'


@LABEL_SOURCES.register_module(name=['gap', 'GAPSource'])
class GAPSource(NetworkSource):
    """Y_crf of a classifier that was trained with plain average pooling, the paper's baseline."""

    name = 'gap'

    @classmethod
    def check_model(cls, model: torch.nn.Module, config: str) -> None:
        if model.bap_head.pooling != 'gap':
            raise ValueError(
                f"{config}: label source 'gap' needs a classifier with model.bap_head.pooling = 'gap', "
                f'but it is {model.bap_head.pooling!r}'
            )


class _Latest:
    """The last value computed from an image."""

    def __init__(self) -> None:
        self._of: tuple[Any, Any] = (None, None)
        self._value: Any = None

    def get(self, image: np.ndarray, key: Any, make: Callable[[], Any]) -> Any:
        """The value for this very image and this key, made where it is another one's."""
        if self._of[0] is not image or self._of[1] != key:
            self._of, self._value = (image, key), make()
        return self._value


class _Classifier:
    """A network, and what it made of the last image."""

    def __init__(self, config: str, checkpoint: str, device: str) -> None:
        from mmengine.config import Config

        from bana_mm.labels.building import build_classifier

        self.model = build_classifier(Config.fromfile(config), checkpoint, device)
        self._features, self._maps = _Latest(), _Latest()

    def maps(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, ignored: np.ndarray, recipe: LabelRecipe
    ) -> dict[str, np.ndarray]:
        """Y_crf and Y_ret of an image, from a recipe and what :meth:`LabelSource.label_map` gets."""
        key = (recipe, boxes.tolist(), labels.tolist(), ignored.tolist())
        return self._maps.get(image, key, lambda: self._make_maps(image, boxes, labels, ignored, recipe))

    def _make_maps(
        self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, ignored: np.ndarray, recipe: LabelRecipe
    ) -> dict[str, np.ndarray]:
        from mmdet.structures import DetDataSample

        from bana_mm.labels.generator import LabelGenerator
        from bana_mm.labels.network import extract_features

        generator = LabelGenerator.from_model(self.model, recipe)
        bgr = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))
        item = dict(inputs=bgr, data_samples=DetDataSample())
        features = self._features.get(
            image, (recipe.scales, recipe.flip), lambda: extract_features(self.model, [item], recipe)[0]
        )
        boxes, labels, ignored = map(torch.from_numpy, (boxes, labels - 1, ignored))
        task = generator.prepare(features, image.shape[:2], boxes, labels, ignored)
        y_crf = crf_label(image, task)
        return dict(Y_crf=y_crf, Y_ret=generator.retrieve(features, task, y_crf))


@lru_cache(maxsize=2)
def _classifier(config: str, checkpoint: str, device: str) -> _Classifier:
    """A process's own: it never travels to another one."""
    return _Classifier(config, checkpoint, device)


def network_source_class(name: str) -> type[NetworkSource]:
    """The class of a source by its name.

    Raises:
        ValueError: If it has no network of its own.
    """
    found = LABEL_SOURCES.get(name)
    if found is None or not issubclass(found, NetworkSource):
        names = sorted(source.name for source in NetworkSource.__subclasses__())
        raise ValueError(f'a classifier makes {", ".join(names)}, not {name!r}')
    return found
