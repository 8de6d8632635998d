"""Training pipelines whose steps have names, and the pseudo labels that a data set hands to them.

mmengine merges dicts by key but replaces lists as a whole, and the variables of a ``_base_`` (the usual
``train_pipeline``) are not evaluated again in the configs that inherit it. A variant that changes one argument of one
step therefore had to know the step's number. With names it says what it changes, as in ``default_hooks``::

    pipeline = dict(order=('load', 'crop', 'pack'), load=dict(type=...), crop=dict(type=...), pack=dict(type=...))
    # and in a config that inherits it
    train_dataloader = dict(dataset=dict(pipeline=dict(crop=dict(crop_size=(225, 225)))))

The order is spelt out since mmengine sorts the keys of configs that it writes into work directories. All of this works
wherever the data set is built, mmengine's runner and mim included, since it is the data set that makes the list.
Pipelines of tests stay lists: the inferencers of mmseg and mmdet look for their transforms in them.
"""

import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Step = dict[str, Any] | Callable
# Fields of a data set's ``pseudo_labels`` that BoxPseudoLabel takes, and its names for them.
_TAKEN = dict(dir='label_dir', maps='maps', source='source', mask_split='mask_split')


def pipeline_steps(pipeline: Mapping[str, Any] | Sequence[Step]) -> list[Step]:
    """The transforms of a pipeline in order.

    Args:
        pipeline (Mapping | Sequence): Configs of transforms: a list as everywhere, or a dict of named ones and of
            ``order``, their names in sequence. A named step that is None is left out.

    Returns:
        list: Configs of transforms, as mmengine's ``Compose`` takes them.

    Raises:
        ValueError: If ``order`` is missing, or does not name the very steps that there are, as with a misspelt name.
    """
    if not isinstance(pipeline, Mapping):
        return list(pipeline)
    steps = {name: step for name, step in pipeline.items() if name != 'order'}
    if 'order' not in pipeline:
        raise ValueError(f'pipeline: order must name the steps in sequence, which are {", ".join(steps)}')
    order = tuple(pipeline['order'])
    for name in (*steps, *order):
        if name not in order:
            raise ValueError(f'pipeline.{name} is not in pipeline.order, which is {", ".join(order)}')
        if name not in steps:
            raise ValueError(f'pipeline.order names {name}, but there is no such step; these are {", ".join(steps)}')
    return [steps[name] for name in order if steps[name] is not None]


def hand_labels(steps: Sequence[Step], pseudo_labels: Mapping[str, Any] | None, data_root: str = '') -> list[Step]:
    """The transforms of a pipeline, ``BoxPseudoLabel`` with the data set's pseudo labels.

    What a transform has of its own stays.

    Args:
        steps (Sequence): Configs of transforms.
        pseudo_labels (Mapping | None): ``dir`` (a label store), ``maps``, ``source`` and ``mask_split`` go to the
            transform; other fields say where the labels come from.
        data_root (str): What a relative ``mask_split`` lies below. Defaults to ''.

    Raises:
        ValueError: If there are pseudo labels that no transform takes.
    """
    given = {ours: (pseudo_labels or {}).get(name) for name, ours in _TAKEN.items()}
    if given['mask_split'] is not None:
        given['mask_split'] = osp.join(data_root, given['mask_split'])
    given = {name: value for name, value in given.items() if value is not None}
    takers = [isinstance(step, Mapping) and _is_box_pseudo_label(step['type']) for step in steps]
    if pseudo_labels and not any(takers):
        raise ValueError(
            'pseudo_labels is set, but no step of the pipeline is a bana_mm.BoxPseudoLabel, which would take them; '
            'set pseudo_labels to None, or add the step'
        )
    return [{**given, **step} if takes else step for step, takes in zip(steps, takers)]


def _is_box_pseudo_label(kind: str | type) -> bool:
    return (kind if isinstance(kind, str) else kind.__name__).split('.')[-1] == 'BoxPseudoLabel'
