"""How good labels are. The metrics of mmengine's runners are imported when they are asked for, here or by the registry:
worker processes that only compare label maps do without mmdet and mmseg.
"""

from importlib import import_module
from typing import Any

from .confusion import ConfusionMatrix
from .contours import ContourCounts
from .filling_rates import FillingRates
from .label_evaluation import LabelCounts, check_files, evaluate_labels
from .label_readers import AgreedMaps, SourceLabels, StoredMap
from .label_tables import class_indices, label_table, splits_table, summarise
from .precision_recall import PrecisionRecall
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

# DenseCRFIoUMetric needs mmseg, and is therefore no part of __all__.
_METRICS = dict(
    ActivationMapMetric='activation_metric',
    DenseCRFIoUMetric='dense_crf_iou',
    PseudoLabelMetric='pseudo_label_metric',
)


def __getattr__(name: str) -> Any:
    if name not in _METRICS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_METRICS[name]}', __name__), name)
