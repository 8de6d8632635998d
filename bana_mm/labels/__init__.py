"""Stage 2: where label maps come from, and how they are stored."""

from .crf_pool import CRFPool, Done, usable_cores
from .merge import agree
from .png import IGNORE, read_label_png, write_label_png
from .sources import BoxSource, GrabCutSource, LabelSource, build_label_source, label_from_instances
from .store import LabelStore

__all__ = [
    'IGNORE', 'BoxSource', 'CRFPool', 'Done', 'GrabCutSource', 'LabelSource', 'LabelStore', 'agree',
    'build_label_source', 'label_from_instances', 'read_label_png', 'usable_cores', 'write_label_png'
]
