"""Transforms; those that need mmdet or mmseg are registered where the package is installed."""

from importlib.util import find_spec

from .box_pseudo_label import BoxPseudoLabel
from .check_image_size import CheckImageSize
from .color_jitter import ColorJitter
from .plain_and_augmented import PlainAndAugmented

__all__ = ['BoxPseudoLabel', 'CheckImageSize', 'ColorJitter', 'PlainAndAugmented']

if find_spec('mmdet'):
    from .ignore_small_boxes import IgnoreSmallBoxes
    from .load_unreliable import LoadUnreliable

    __all__ += ['IgnoreSmallBoxes', 'LoadUnreliable']

if find_spec('mmseg'):
    from .formatting import PackBoxSegInputs

    __all__ += ['PackBoxSegInputs']
