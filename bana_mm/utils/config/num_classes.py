"""The number of classes of a model, which follows from the names that its data set has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS
from torch import nn

from .datasets import inner_dataset


def set_num_classes(cfg: Config) -> None:
    """Set every ``num_classes`` of ``model`` to the number of classes that ``metainfo`` of the training set names.

    So is ``num_things_classes`` of the heads of Mask2Former, where no stuff is learned, and the list of their class
    weights, whose last belongs to no object, gets as many.

    A config without a training set goes by its test set; without ``metainfo`` its numbers stay. This applies to configs
    that have a ``bana_mm.NumClassesHook``, which compares model and data again once they are built. Region proposals
    (``rpn_head``) have one class whatever the data.

    Args:
        cfg (Config): Changed in place.
    """
    hooks = [hook.get('type') for hook in cfg.get('custom_hooks') or () if isinstance(hook, Mapping)]
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader')
    if 'bana_mm.NumClassesHook' not in hooks or loader is None or 'model' not in cfg:
        return
    dataset = inner_dataset(loader['dataset'])
    if not (dataset.get('metainfo') or {}).get('classes'):
        return
    classes = class_names(dataset)
    number = len(classes) + bool(dataset.get('background_class'))
    for part in _parts(cfg.model):
        for name in ('num_classes', 'num_things_classes'):
            former = part.get(name)
            if isinstance(former, int) and former > 0 and not part.get('num_stuff_classes'):
                part[name] = number
                _set_class_weights(part, former, number)


def _set_class_weights(part: dict[str, Any], former: int, number: int) -> None:
    """The weights of a head's classes and of no object, where all classes have one weight."""
    loss = part.get('loss_cls')
    weights = loss.get('class_weight') if isinstance(loss, dict) else None
    if isinstance(weights, (list, tuple)) and len(weights) == former + 1 and len(set(weights[:-1])) == 1:
        loss['class_weight'] = [weights[0]] * number + [weights[-1]]


def class_names(dataset: Mapping[str, Any]) -> Sequence[str] | None:
    """Names of the classes of a data set's config, as its metainfo or else its class gives them; None if unknown."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None and str(dataset.get('type')).startswith('bana_mm.'):
        kind = DATASETS.get(dataset['type'])  # known once a config imports bana_mm.registry, as ours do
        classes = None if kind is None else kind.METAINFO.get('classes')
    return (classes,) if isinstance(classes, str) else classes


def check_num_classes(model: nn.Module, classes: Sequence[str], what: str) -> None:
    """Compare ``num_classes`` of every module that has it with the number of classes.

    Backbones say -1 where they classify nothing.

    Args:
        model (nn.Module): A model of mmseg or mmdet, or a classifier; maybe wrapped.
        classes (Sequence[str]): Names of the classes, with the background where the model's head has it. None are no
            reason to complain.
        what (str): What has these classes, for the message.

    Raises:
        ValueError: If a module has another number; the message names it.
    """
    for name, module in (model.module if is_model_wrapper(model) else model).named_modules():
        number = getattr(module, 'num_classes', None)
        counts = isinstance(number, int) and number > 0 and not name.endswith('rpn_head')
        if counts and classes and number != len(classes):
            raise ValueError(
                f'model{name and "." + name} has num_classes={number}, but the {what} has {len(classes)} classes '
                f"({', '.join(classes)}): set num_classes, or the data set's metainfo"
            )


def _parts(config: Any, name: str = '') -> Iterator[dict[str, Any]]:
    """All dicts inside a model's config but for those of region proposals."""
    if isinstance(config, dict):
        if name != 'rpn_head':
            yield config
            for key, value in config.items():
                yield from _parts(value, key)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _parts(value)
