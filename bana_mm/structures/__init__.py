"""What travels between the stages: the boxes of an image on its pixels, label maps, and masks of instances.

The ground floor: it knows no stage and needs none of the mm* packages. The one exception is :class:`ReliableMasks`,
mmdet's ``BitmapMasks`` with a second plane, which is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from .activation_recipe import ActivationRecipe
from .box_layout import BoxLayout
from .instance_mask import InstanceMask, cut_masks, paint_instances, paint_masks, smallest_in_front
from .label_map import IGNORE, agree, check_classes, reliable_region, vote
from .label_png import read_label_png, write_label_png
from .label_recipe import InstanceRecipe, LabelRecipe
from .label_store import LabelStore
from .run_length import RunLengths, decode_mask, encode_mask

if TYPE_CHECKING:
    from .reliable_masks import ReliableMasks

__all__ = [
    'IGNORE',
    'ActivationRecipe',
    'BoxLayout',
    'InstanceMask',
    'InstanceRecipe',
    'LabelRecipe',
    'LabelStore',
    'ReliableMasks',
    'RunLengths',
    'agree',
    'check_classes',
    'cut_masks',
    'decode_mask',
    'encode_mask',
    'paint_instances',
    'paint_masks',
    'read_label_png',
    'reliable_region',
    'smallest_in_front',
    'vote',
    'write_label_png',
]


def __getattr__(name: str) -> Any:
    if name != 'ReliableMasks':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .reliable_masks import ReliableMasks

    return ReliableMasks
