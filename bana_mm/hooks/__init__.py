"""Hooks; those that need mmseg are registered where it is installed."""

from importlib.util import find_spec

from .collapse_hook import CollapseHook
from .label_check_hook import LabelCheckHook
from .num_classes_hook import NumClassesHook

__all__ = ['CollapseHook', 'LabelCheckHook', 'NumClassesHook']

if find_spec('mmseg'):
    from .confidence_map_hook import ConfidenceMapHook

    __all__ += ['ConfidenceMapHook']
