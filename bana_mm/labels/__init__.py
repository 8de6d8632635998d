"""Stage 2: where label maps come from, and how they are stored."""

from .crf_pool import CRFPool, Done
from .merge import agree
from .png import IGNORE, read_label_png, write_label_png
from .sources import BoxSource, GrabCutSource, LabelSource, build_label_source
from .store import LabelStore

__all__ = [
    'IGNORE', 'BoxSource', 'CRFPool', 'Done', 'GrabCutSource', 'LabelSource', 'LabelStore', 'agree', 'build_label_source',
    'read_label_png', 'write_label_png'
]
