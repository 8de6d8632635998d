"""Segmentation from bounding boxes as OpenMMLab modules (scope ``bana_mm``).

Importing the package checks the installed versions (see :mod:`bana_mm.utils.environment`). ``bana_mm.functional``
needs torch and numpy alone; every other part needs mmengine, and mmcv, mmdet or mmseg where it builds on them.
"""

from .utils.environment import check_environment
from .version import __version__

check_environment()

__all__ = ['__version__']
