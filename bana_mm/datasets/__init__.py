from .transforms import *  # noqa: F401,F403  registers the transforms
from .voc_box import VOC_CLASSES, VOCBoxDataset

__all__ = ['VOC_CLASSES', 'VOCBoxDataset']
