"""Data sets; those that need mmdet are registered where it is installed."""

from importlib.util import find_spec

from bana_mm.utils import require_ops

require_ops()  # mmdet would say so in its own words

from .transforms import *  # noqa: F401,F403  registers the transforms
from .voc_box import VOC_CLASSES, VOCBoxDataset

__all__ = ['VOC_CLASSES', 'VOCBoxDataset']

if find_spec('mmdet'):
    from .coco_box import CocoBoxDataset
    from .coco_pseudo_mask import CocoPseudoMaskDataset

    __all__ += ['CocoBoxDataset', 'CocoPseudoMaskDataset']
