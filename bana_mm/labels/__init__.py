"""Stage 2: where label maps come from, and how they are stored."""

from .box_crf import BoxCRFSource
from .crf_pool import CRFPool, Done, usable_cores
from .files import FilesSource
from .merge import agree, reliable_region
from .png import IGNORE, check_classes, read_label_png, write_label_png
from .sources import (
    BoxSource,
    GrabCutSource,
    LabelSource,
    MergedSource,
    build_label_source,
    label_from_instances,
    reliable_label_from_instances,
)
from .store import LabelStore

__all__ = [
    'IGNORE', 'BoxCRFSource', 'BoxSource', 'CRFPool', 'Done', 'FilesSource', 'GrabCutSource', 'LabelSource',
    'LabelStore', 'MergedSource', 'agree', 'build_label_source', 'check_classes', 'label_from_instances',
    'read_label_png', 'reliable_label_from_instances', 'reliable_region', 'usable_cores', 'write_label_png'
]
