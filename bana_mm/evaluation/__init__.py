"""Metrics; those that need mmseg are registered where it is installed."""

from importlib.util import find_spec

from .activation_metric import ActivationMapMetric
from .confusion import ConfusionMatrix
from .contours import ContourCounts
from .filling_rates import FillingRates
from .label_evaluation import (
    AgreedMaps,
    LabelCounts,
    SourceLabels,
    StoredMap,
    check_files,
    class_indices,
    evaluate_labels,
    label_table,
    splits_table,
    summarise,
)
from .precision_recall import PrecisionRecall
from .pseudo_label_metric import PseudoLabelMetric
from .table_rows import store_rows, table_1_rows

__all__ = [
    'ActivationMapMetric',
    'AgreedMaps',
    'ConfusionMatrix',
    'ContourCounts',
    'FillingRates',
    'LabelCounts',
    'PrecisionRecall',
    'PseudoLabelMetric',
    'SourceLabels',
    'StoredMap',
    'check_files',
    'class_indices',
    'evaluate_labels',
    'label_table',
    'splits_table',
    'store_rows',
    'summarise',
    'table_1_rows',
]

if find_spec('mmseg'):
    from .dense_crf_iou import DenseCRFIoUMetric

    __all__ += ['DenseCRFIoUMetric']
