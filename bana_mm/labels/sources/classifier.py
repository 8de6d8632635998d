"""Labels of a trained classifier (paper Sec. 3.2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config

from bana_mm.registry import LABEL_SOURCES, MODELS
from bana_mm.structures import InstanceRecipe, LabelRecipe
from bana_mm.utils.config import run_name
from bana_mm.utils.record import MODEL_FIELD, file_digest, model_settings
from bana_mm.utils.stopwatch import measured

from ..class_weights import weight_of_classes
from ..item import LabelItem
from .answer import Answer, Kind, Task
from .base import LabelSource

if TYPE_CHECKING:  # worker processes have no network, and do without what it imports
    from ..engine import ClassifierEngine, Generator


@LABEL_SOURCES.register_module(name=['classifier', 'ClassifierSource'])
class ClassifierSource(LabelSource):
    """Y_crf and Y_ret of a classifier of stage 1, as ``tools/generate_labels.py CONFIG CHECKPOINT`` stores them.

    Label maps follow the config's ``model.label_recipe``, masks of instances its ``instance_recipe``. Each process
    builds the network when it labels its first image, and of several sources with one checkpoint only once; what they
    share of an image is computed once. Still an image takes about a second on a CPU, for the network and the CRF, each
    time it is asked for: for a training, store the labels first.

    Args:
        config (str | Path | Config): Config of the classifier.
        checkpoint (str | Path): Checkpoint trained with it.
        recipe (dict | None): Changes of the config's ``label_recipe`` (for masks of ``instance_recipe.unary``), see
            :meth:`make_recipe`. Defaults to None.
        device (str | None): Where the network runs, and on a GPU the CRF too unless its backend is pydensecrf. Defaults
            to None: on a GPU where there is one, except in a data loader's worker process.
        both (bool): Whether the label maps are Y_crf and Y_ret, as of the source 'classifier', also where the source
            is one that has a single map otherwise. Defaults to False.

    Raises:
        FileNotFoundError: If config or checkpoint is missing.
    """

    name = 'classifier'
    text_fields = ('config', 'checkpoint')
    has_network = True
    single_map: str | None = None  # of Y_crf and Y_ret
    recipe_changes: dict[str, Any] = {}  # of every instance

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        recipe: dict[str, Any] | None = None,
        device: str | None = None,
        both: bool = False,
    ) -> None:
        self._cfg = config if isinstance(config, Config) else None
        self.config = str(config.filename if isinstance(config, Config) else config)
        self.checkpoint = str(checkpoint)
        for kind, path in (('config', self.config), ('checkpoint', self.checkpoint)):
            if not Path(path).is_file():
                raise FileNotFoundError(f'{path}: {kind} of label source {self.name!r} does not exist')
        self.recipe = dict(recipe or {})
        self.device = device
        self._default_device: str | None = None
        self._single_map = None if both else self.single_map
        self._classes: tuple[str, ...] | None = None
        self._same_as: Mapping[str, str | None] | None = None
        self._loaded: tuple[str, ClassifierEngine] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self), _loaded=None)  # the network never travels to another process

    @classmethod
    def check_model(cls, model: torch.nn.Module, config: str) -> None:
        """Refuse a classifier of another kind, with a ValueError that names its config."""
        if not hasattr(model, 'bap_head'):
            raise ValueError(
                f'{config}: label source {cls.name!r} needs a BoxClassifier, but this config has model.type '
                f'{type(model).__name__}; labels of an ImageClassifier come from the source image_crf'
            )

    @property
    def map_names(self) -> tuple[str, ...]:
        return ('Y_crf', 'Y_ret') if self._single_map is None else (self.name,)

    def make_recipe(self) -> LabelRecipe:
        """The recipe of the classifier, or the one that ``recipe['recipe']`` names, with the changes asked for."""
        return _changed(self._engine().model.label_recipe, self._changes())

    def make_instance_recipe(self) -> InstanceRecipe:
        """The config's ``instance_recipe``, its unaries with the changes asked for."""
        recipe = InstanceRecipe.from_cfg(self._engine().cfg.get('instance_recipe'))
        return InstanceRecipe.from_cfg({**vars(recipe), 'unary': _changed(recipe.unary, self._changes())})

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        return self._engine().prepare(items, self._generator(kind))

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        with measured('labels'):
            both = context.finish(item, result)
        if kind == 'masks':
            return both[self._single_map or 'Y_crf']
        shown = both if self._single_map is None else {self.name: both[self._single_map]}
        return {name: label.copy() for name, label in shown.items()}  # others get the same once more

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        self._classes, self._same_as = tuple(classes), same_as
        self._weight()  # finds out now what does not fit

    def record(self, classes: Sequence[str], kind: Kind) -> dict[str, Any]:
        if self._single_map is not None:
            record = super().record(classes, kind)
        else:
            from ..classifier import describe_run

            config = self.config if self._cfg is None else f'{run_name(self._cfg)}.py'
            record = describe_run(config, self.checkpoint, self._recipe_fields(kind), classes)
            record[MODEL_FIELD] = model_settings(self._engine().cfg.model)
        _, unseen = self._weight()
        return dict(record, unseen=unseen) if unseen or kind == 'masks' else record

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        held = dict(checkpoint=file_digest(self.checkpoint), recipe=self._recipe_fields(kind))
        return [(self.name, {**held, MODEL_FIELD: model_settings(self._engine().cfg.model)})]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return tuple(self._engine().classes)

    def use_device(self, device: str) -> None:
        self._default_device = device

    def describe(self) -> dict[str, Any]:
        return dict(super().describe(), device=None)  # it decides on nothing, so a run may go on with another one

    def _recipe_fields(self, kind: Kind) -> dict[str, Any]:
        return (self.make_recipe() if kind == 'maps' else self.make_instance_recipe()).to_dict()

    def _changes(self) -> dict[str, Any]:
        return {**self.recipe, **self.recipe_changes}

    def _engine(self) -> 'ClassifierEngine':
        from ..engine import classifier_engine

        in_loader = torch.utils.data.get_worker_info() is not None  # forked, where CUDA can't be used
        device = (
            self.device or self._default_device or ('cuda' if torch.cuda.is_available() and not in_loader else 'cpu')
        )
        if self._loaded is None or self._loaded[0] != device:
            engine = classifier_engine(self.config if self._cfg is None else self._cfg, self.checkpoint, device)
            self.check_model(engine.model, self.config)
            self._loaded = (device, engine)
        return self._loaded[1]

    def _weight(self) -> tuple[torch.Tensor, list[str]]:
        """Classifier weights of the classes to label, and which of these the classifier does not know."""
        weight = self._engine().model.class_weight.detach()
        if self._classes is None:
            return weight, []
        return weight_of_classes(weight, self._engine().classes, self._classes, self._same_as)

    def _generator(self, kind: Kind) -> 'Generator':
        from ..generator import LabelGenerator
        from ..instance_generator import InstanceLabelGenerator

        weight, _ = self._weight()
        if kind == 'maps':
            return LabelGenerator(weight, self.make_recipe())
        return InstanceLabelGenerator(weight, self.make_instance_recipe())


@LABEL_SOURCES.register_module(name=['bana_crf', 'BanaCRFSource'])
class BanaCRFSource(ClassifierSource):
    """Y_crf."""

    name = 'bana_crf'
    single_map = 'Y_crf'


@LABEL_SOURCES.register_module(name=['bana_crf_cam', 'BanaCRFCamSource'])
class BanaCRFCamSource(ClassifierSource):
    """Y_crf "w/o u_0": the background classifier's activation map takes the place of the attention."""

    name = 'bana_crf_cam'
    single_map = 'Y_crf'
    recipe_changes = dict(background='cam')


@LABEL_SOURCES.register_module(name=['bana_ret', 'BanaRetSource'])
class BanaRetSource(ClassifierSource):
    """Y_ret."""

    name = 'bana_ret'
    single_map = 'Y_ret'


@LABEL_SOURCES.register_module(name=['gap', 'GAPSource'])
class GAPSource(ClassifierSource):
    """Y_crf of a classifier that was trained with plain average pooling, the paper's baseline."""

    name = 'gap'
    single_map = 'Y_crf'

    @classmethod
    def check_model(cls, model: torch.nn.Module, config: str) -> None:
        super().check_model(model, config)
        if model.bap_head.pooling != 'gap':
            raise ValueError(
                f"{config}: label source 'gap' needs a classifier with model.bap_head.pooling = 'gap', "
                f'but it is {model.bap_head.pooling!r}'
            )


def classifier_source_class(name: str) -> type[ClassifierSource]:
    """The class of a source by its name.

    Raises:
        ValueError: If it has no classifier of its own.
    """
    found = LABEL_SOURCES.get(name)
    if found is None or not issubclass(found, ClassifierSource):
        names = sorted(source.name for source in ClassifierSource.__subclasses__())
        raise ValueError(f'a classifier makes {", ".join(names)}, not {name!r}')
    return found


def label_source_of(cfg: Config) -> str:
    """Name of the source that makes the labels of a config's classifier, as the classifier's class says."""
    return getattr(MODELS.get(cfg.model.type), 'label_source', ClassifierSource.name)


def _changed(recipe: LabelRecipe, changes: Mapping[str, Any]) -> LabelRecipe:
    """A recipe, or the one that ``changes['recipe']`` names, with other fields; those of ``crf`` one by one."""
    fields = {} if 'recipe' in changes else recipe.to_dict()
    return LabelRecipe.from_cfg({**fields, **changes, 'crf': {**fields.get('crf', {}), **changes.get('crf', {})}})
