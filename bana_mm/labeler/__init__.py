"""Masks from boxes in a few lines of Python, and their files for other programs.

Of the mm* packages it needs mmengine and mmcv; mmdet or mmseg only for sources with such a model.
"""

from bana_mm.utils import require

require('mmengine', 'mmcv')

from .batch import BatchLabels  # noqa: E402
from .labeler import BoxLabeler  # noqa: E402
from .result import BoxLabels  # noqa: E402

__all__ = ['BatchLabels', 'BoxLabeler', 'BoxLabels']
