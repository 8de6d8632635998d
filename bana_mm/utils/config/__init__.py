"""What becomes of a config between its file and the runner: data sets of one's own, sizes, the number of classes."""

from .datasets import LIST_FOLDER, find_pseudo_labels, inner_dataset, label_splits, split_name
from .num_classes import check_num_classes, set_num_classes
from .own_data import apply_data, describe_parts, read_data
from .presets import apply_preset
from .reading import config_arguments, parse_options, read_config, run_name

__all__ = [
    'LIST_FOLDER',
    'apply_data',
    'apply_preset',
    'check_num_classes',
    'config_arguments',
    'describe_parts',
    'find_pseudo_labels',
    'inner_dataset',
    'label_splits',
    'parse_options',
    'read_config',
    'read_data',
    'run_name',
    'set_num_classes',
    'split_name',
]
