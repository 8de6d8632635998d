"""Hooks; those that need mmseg are registered where it is installed."""

from importlib.util import find_spec

from .checkpoint_hook import WholeCheckpointHook
from .collapse_hook import CollapseHook
from .finite_loss_hook import FiniteLossHook
from .label_check_hook import LabelCheckHook
from .num_classes_hook import NumClassesHook
from .panels_hook import PanelsHook
from .random_state_hook import RandomStateHook

__all__ = [
    'CollapseHook',
    'FiniteLossHook',
    'LabelCheckHook',
    'NumClassesHook',
    'PanelsHook',
    'RandomStateHook',
    'WholeCheckpointHook',
]

if find_spec('mmseg'):
    from .confidence_map_hook import ConfidenceMapHook

    __all__ += ['ConfidenceMapHook']
