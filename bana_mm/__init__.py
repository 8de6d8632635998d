"""Segmentation from bounding boxes as OpenMMLab modules (scope ``bana_mm``).

Importing the package checks the installed versions (see :mod:`bana_mm.utils.environment`). ``bana_mm.functional``
needs torch and numpy alone; every other part needs mmengine, and mmcv, mmdet or mmseg where it builds on them.

:class:`BoxLabeler` makes masks from boxes in a few lines of Python; it is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from .utils.environment import check_environment
from .version import __version__

if TYPE_CHECKING:
    from .labeler import BoxLabeler

check_environment()

__all__ = ['BoxLabeler', '__version__']


def __getattr__(name: str) -> Any:
    if name != 'BoxLabeler':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .labeler import BoxLabeler

    return BoxLabeler
