"""Metrics; those that need mmseg are registered where it is installed."""

from importlib.util import find_spec

from .confusion import ConfusionMatrix
from .label_evaluation import (
    AgreedMaps,
    SourceLabels,
    StoredMap,
    class_indices,
    evaluate_labels,
    label_table,
    summarise,
)
from .pseudo_label_metric import PseudoLabelMetric

__all__ = [
    'AgreedMaps', 'ConfusionMatrix', 'PseudoLabelMetric', 'SourceLabels', 'StoredMap', 'class_indices',
    'evaluate_labels', 'label_table', 'summarise'
]

if find_spec('mmseg'):
    from .dense_crf_iou import DenseCRFIoUMetric
    __all__ += ['DenseCRFIoUMetric']
