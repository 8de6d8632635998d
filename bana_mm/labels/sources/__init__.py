"""Where labels come from: one interface for boxes alone, a network, and files made elsewhere."""

from .asking import answers, label_map, reliable_label
from .base import LabelSource
from .box import BoxSource
from .box_crf import BoxCRFSource
from .build import SourceConfig, build_label_source
from .classifier import (
    BanaCRFCamSource,
    BanaCRFSource,
    BanaRetSource,
    ClassifierSource,
    GAPSource,
    classifier_source_class,
    label_source_of,
)
from .files import FilesSource
from .grabcut import GrabCutSource
from .image_classifier import ImageCRFSource
from .merged import MergedSource, VoteSource
from .sam import SamSource
from .trained import DetectorSource, SegmentorSource
from .trusted import FallbackSource, TrustedSource
from .without_network import MapSource, ObjectSource

__all__ = [
    'BanaCRFCamSource',
    'BanaCRFSource',
    'BanaRetSource',
    'BoxCRFSource',
    'BoxSource',
    'ClassifierSource',
    'DetectorSource',
    'FallbackSource',
    'FilesSource',
    'GAPSource',
    'GrabCutSource',
    'ImageCRFSource',
    'LabelSource',
    'MapSource',
    'MergedSource',
    'ObjectSource',
    'SamSource',
    'SegmentorSource',
    'SourceConfig',
    'TrustedSource',
    'VoteSource',
    'answers',
    'build_label_source',
    'classifier_source_class',
    'label_map',
    'label_source_of',
    'reliable_label',
]
