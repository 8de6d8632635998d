"""Transforms; those that need mmdet or mmseg are registered where the package is installed."""

from importlib.util import find_spec

from .box_pseudo_label import BoxPseudoLabel
from .check_image_size import CheckImageSize
from .checked_loading import LoadCheckedImage
from .color_jitter import ColorJitter
from .image_labels import ImageLabels
from .keep_colours import KeepColours
from .padded_crop import pad_around
from .plain_and_augmented import PlainAndAugmented

__all__ = [
    'BoxPseudoLabel',
    'CheckImageSize',
    'ColorJitter',
    'ImageLabels',
    'KeepColours',
    'LoadCheckedImage',
    'PlainAndAugmented',
    'pad_around',
]

if find_spec('mmdet'):
    from .checked_loading import LoadCheckedDetAnnotations
    from .det_formatting import PackBoxDetInputs
    from .ignore_small_boxes import IgnoreSmallBoxes
    from .load_unreliable import LoadUnreliable
    from .padded_crop import PaddedRandomCrop

    __all__ += [
        'IgnoreSmallBoxes',
        'LoadCheckedDetAnnotations',
        'LoadUnreliable',
        'PackBoxDetInputs',
        'PaddedRandomCrop',
    ]

if find_spec('mmseg'):
    from .checked_loading import LoadCheckedSegAnnotations
    from .formatting import PackBoxSegInputs
    from .padded_crop import PaddedSegRandomCrop

    __all__ += ['LoadCheckedSegAnnotations', 'PackBoxSegInputs', 'PaddedSegRandomCrop']
