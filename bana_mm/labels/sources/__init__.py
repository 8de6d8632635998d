"""Where label maps come from: one interface for boxes alone, a network, and files made elsewhere."""

from .base import LabelSource, ObjectSource, paint_smallest_in_front
from .box import BoxSource
from .box_crf import BoxCRFSource
from .building import SourceConfig, build_label_source
from .files import FilesSource
from .grabcut import GrabCutSource
from .items import label_from_instances, read_rgb, reliable_label_from_instances, split_instances
from .merged import MergedSource
from .network import BanaCRFCamSource, BanaCRFSource, BanaRetSource, GAPSource, NetworkSource, network_source_class

__all__ = [
    'BanaCRFCamSource',
    'BanaCRFSource',
    'BanaRetSource',
    'BoxCRFSource',
    'BoxSource',
    'FilesSource',
    'GAPSource',
    'GrabCutSource',
    'LabelSource',
    'MergedSource',
    'NetworkSource',
    'ObjectSource',
    'SourceConfig',
    'build_label_source',
    'label_from_instances',
    'network_source_class',
    'paint_smallest_in_front',
    'read_rgb',
    'reliable_label_from_instances',
    'split_instances',
]
