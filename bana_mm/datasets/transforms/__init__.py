"""Transforms; those that need mmdet or mmseg are registered where the package is installed."""

from importlib.util import find_spec

from .color_jitter import ColorJitter

__all__ = ['ColorJitter']

if find_spec('mmdet'):
    from .ignore_small_boxes import IgnoreSmallBoxes
    __all__ += ['IgnoreSmallBoxes']
