"""Stage 2: where label maps come from, and how they are stored."""

from .crf_pool import CRFPool, Done
from .merge import agree, reliable_region
from .png import IGNORE, check_classes, read_label_png, write_label_png
from .sources import (
    BanaCRFCamSource,
    BanaCRFSource,
    BanaRetSource,
    BoxCRFSource,
    BoxSource,
    FilesSource,
    GAPSource,
    GrabCutSource,
    LabelSource,
    MergedSource,
    NetworkSource,
    build_label_source,
    label_from_instances,
    network_source_class,
    reliable_label_from_instances,
)
from .store import LabelStore

__all__ = [
    'IGNORE',
    'BanaCRFCamSource',
    'BanaCRFSource',
    'BanaRetSource',
    'BoxCRFSource',
    'BoxSource',
    'CRFPool',
    'Done',
    'FilesSource',
    'GAPSource',
    'GrabCutSource',
    'LabelSource',
    'LabelStore',
    'MergedSource',
    'NetworkSource',
    'agree',
    'build_label_source',
    'check_classes',
    'label_from_instances',
    'network_source_class',
    'read_label_png',
    'reliable_label_from_instances',
    'reliable_region',
    'write_label_png',
]
