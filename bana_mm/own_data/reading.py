"""A data set as a training reads it, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.registry import DATASETS, DefaultScope

import bana_mm.registry  # noqa: F401  registers the data sets
from bana_mm.utils.config import describe_parts
from bana_mm.utils.problems import Problems


@dataclass
class Part:
    """The images of a training, of its validation or of a test.

    Args:
        mode (str): 'train', 'val' or 'test'.
        classes (tuple[str, ...]): Names of the classes 1..L.
        items (list[dict]): As the data set holds them: ``img_path``, ``img_id``, ``height``, ``width``, ``instances``
            and maybe ``seg_map_path``.
    """

    mode: str
    classes: tuple[str, ...]
    items: list[dict[str, Any]]


def read_data_parts(data: Mapping[str, Any], problems: Problems) -> list[Part]:
    """Read a data set through the classes that a training reads it with.

    Args:
        data (Mapping): ``data`` of a data set's file, see :func:`bana_mm.utils.config.apply_data`.
        problems (Problems): What is told of all that is wrong.

    Returns:
        list[Part]: One for each part that ``data`` names, without what is wrong.

    Raises:
        FileNotFoundError: If the root of the data does not exist.
        ValueError: If ``data`` itself is wrong.
    """
    descriptions = describe_parts(data)
    if descriptions.get('test') == descriptions.get('val'):
        descriptions.pop('test', None)
    return [_read(mode, description, problems) for mode, description in descriptions.items()]


def _read(mode: str, description: dict[str, Any], problems: Problems) -> Part:
    config = dict(description, problems=problems, lazy_init=True, pipeline=[])
    if config['type'].endswith('VOCBoxDataset'):
        config.setdefault('difficult', 'keep')  # as in the configs
    if mode != 'train':
        config.update(require_masks=True, test_mode=True)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config)
    items: list[dict[str, Any]] = []
    with problems.guard(_kind(dataset.ann_file), dataset.ann_file):
        dataset.data_list = dataset.load_data_list()
        items = dataset.filter_data() if dataset.data_list else []
    return Part(mode, tuple(dataset.metainfo['classes']), items)


def _kind(ann_file: str) -> str:
    return 'unreadable-annotation' if ann_file.endswith('.json') else 'unreadable-list'
