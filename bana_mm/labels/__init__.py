"""Stage 2: one way from boxes to labels. Any source, over any data set, into any sink."""

from .item import LabelItem, LabelItems, read_rgb
from .report import LabelRun
from .runner import make_labels
from .sinks import LabelSink, MaskSink, MemorySink, StoreSink
from .sources import (
    BanaCRFCamSource,
    BanaCRFSource,
    BanaRetSource,
    BoxCRFSource,
    BoxSource,
    ClassifierSource,
    FilesSource,
    GAPSource,
    GrabCutSource,
    ImageCRFSource,
    LabelSource,
    MapSource,
    MergedSource,
    ObjectSource,
    answers,
    build_label_source,
    classifier_source_class,
    label_map,
    reliable_label,
)

__all__ = [
    'BanaCRFCamSource',
    'BanaCRFSource',
    'BanaRetSource',
    'BoxCRFSource',
    'BoxSource',
    'ClassifierSource',
    'FilesSource',
    'GAPSource',
    'GrabCutSource',
    'ImageCRFSource',
    'LabelItem',
    'LabelItems',
    'LabelRun',
    'LabelSink',
    'LabelSource',
    'MapSource',
    'MaskSink',
    'MemorySink',
    'MergedSource',
    'ObjectSource',
    'StoreSink',
    'answers',
    'build_label_source',
    'classifier_source_class',
    'label_map',
    'make_labels',
    'read_rgb',
    'reliable_label',
]
