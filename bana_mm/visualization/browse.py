"""Images of a data set after its transforms, with the labels that come out of them."""

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from bana_mm.datasets.image_ids import image_id
from bana_mm.datasets.metainfo import without_background
from bana_mm.datasets.named_steps import pipeline_steps
from bana_mm.datasets.wrappers import base_datasets
from bana_mm.labels import LabelItem, LabelSource, build_label_source, read_rgb, reliable_label
from bana_mm.labels.data import config_scope
from bana_mm.structures import IGNORE, paint_masks
from bana_mm.structures.box_layout import BoxLayout
from bana_mm.utils.config.datasets import inner_dataset
from bana_mm.utils.pixel_data import label_map_of

from .panels import panel_cells, panel_row

LABEL_STEPS = ('BoxPseudoLabel', 'bana_mm.BoxPseudoLabel')


def browse(
    cfg: Config,
    mode: str = 'train',
    source: str | None = None,
    images: int | Sequence[str] = 8,
    times: int = 3,
    seed: int = 0,
    height: int = 200,
) -> Iterator[tuple[str, np.ndarray]]:
    """A picture for each of some images: as it is, and below several times as its pipeline makes it.

    Args:
        cfg (Config): Config of a training.
        mode (str): 'train', 'val' or 'test': which dataloader's images. Defaults to 'train'.
        source (str | None): Makes labels in place of those of the pipeline. Defaults to None.
        images (int | Sequence[str]): How many, evenly; or their ids. Defaults to 8.
        times (int): How often each is augmented. Defaults to 3.
        seed (int): Of the random numbers of each image. Defaults to 0.
        height (int): Of each cell in pixels. Defaults to 200.

    Yields:
        tuple[str, np.ndarray]: Id of the image, and the picture, uint8 RGB.

    Raises:
        ValueError: If the config has no such dataloader, an image is not among its images, or a number is too small.
        FileNotFoundError: If images or labels are missing.
    """
    loader = cfg.get(f'{mode}_dataloader')
    if not loader:
        raise ValueError(f'{cfg.filename}: has no {mode}_dataloader')
    if times < 1 or (isinstance(images, int) and images < 1):
        raise ValueError(f'the number of images and of times must be at least 1, got {images} and {times}')
    config = copy.deepcopy(inner_dataset(loader['dataset']))
    steps = pipeline_steps(config.get('pipeline') or ())
    has_labels = any(one.get('type') in LABEL_STEPS for one in steps)
    if source is not None and has_labels:
        config['pipeline'] = [
            dict(type=one['type'], source=source) if one['type'] in LABEL_STEPS else one for one in steps
        ]
        if 'pseudo_labels' in config:
            config['pseudo_labels'] = dict(source=source)
    with config_scope(cfg):
        dataset = next(base_datasets(DATASETS.build(config)))
        made = None if source is None or has_labels else build_label_source(source)
        if made is not None and made.name == 'files':
            raise ValueError(
                f'{source}: labels in files are of whole images, and a classifier has none to augment; give the config '
                'of a segmentation model'
            )
        classes = without_background(dataset.metainfo['classes'])
        for index in _positions(dataset, images):
            info = dataset.get_data_info(index)
            rows = [_cells(_as_it_is(info, getattr(dataset, 'backend_args', None)), classes, None, height)]
            for number in range(times):
                _set_seeds(seed + number)
                packed = dataset.pipeline(dataset.get_data_info(index))
                if packed is None:
                    raise ValueError(f'{info["img_path"]}: its pipeline drops it, as for want of boxes')
                rows.append(_cells(packed, classes, made, height))
            yield image_id(info), _stack([panel_row(*row) for row in rows])


def _positions(dataset: Any, images: int | Sequence[str]) -> list[int]:
    if isinstance(images, int):
        return np.linspace(0, len(dataset) - 1, min(images, len(dataset))).round().astype(int).tolist()
    places = {image_id(dataset.get_data_info(index)): index for index in range(len(dataset))}
    unknown = [name for name in images if name not in places]
    if unknown:
        raise ValueError(f'image {unknown[0]!r} is not among the {len(places)} images of {dataset.ann_file}')
    return [places[name] for name in images]


def _as_it_is(info: Mapping[str, Any], backend_args: Mapping[str, Any] | None) -> dict[str, Any]:
    rgb = read_rgb(info['img_path'], backend_args)
    kept = [one for one in info.get('instances') or () if not one.get('ignore_flag')]
    return dict(rgb=rgb, boxes=[one['bbox'] for one in kept], indices=[one['bbox_label'] + 1 for one in kept])


def _cells(
    packed: Mapping[str, Any], classes: Sequence[str], made: LabelSource | None, height: int
) -> tuple[dict[str, np.ndarray], dict[str, Sequence[int]]]:
    """The cells of an image as it is, or as a pipeline has packed it."""
    if 'rgb' in packed:
        boxes = np.array(packed['boxes'], dtype=float).reshape(-1, 4)
        return panel_cells(packed['rgb'], classes, boxes, packed['indices'], height=height)
    sample = packed['data_samples']
    rgb = np.ascontiguousarray(packed['inputs'].numpy().transpose(1, 2, 0)[..., ::-1]).astype(np.uint8)
    boxes, indices, layout = None, [], None
    if 'gt_instances' in sample and 'bboxes' in sample.gt_instances:
        found = sample.gt_instances
        boxes = getattr(found.bboxes, 'tensor', found.bboxes).numpy().reshape(-1, 4)
        indices = (found.labels + 1).tolist()
        layout = BoxLayout.from_boxes(rgb.shape[:2], boxes, indices, _ignored(sample))
    maps: dict[str, np.ndarray] = {}
    if 'gt_sem_seg' in sample:
        maps['label'] = label_map_of(sample.gt_sem_seg).astype(np.uint8)
        if 'gt_reliable_map' in sample:
            reliable = sample.gt_reliable_map.data[0].numpy()
            maps['reliable'] = np.where(reliable, maps['label'], IGNORE).astype(np.uint8)
    if made is not None and layout is None:
        raise ValueError(
            f'{sample.img_path}: no labels can be made of it: its pipeline neither has BoxPseudoLabel nor packs boxes'
        )
    if made is not None:
        label, reliable = reliable_label(made, LabelItem(layout, 'augmented', pixels=rgb))
        maps.update({made.name: label, 'reliable': np.where(reliable, label, IGNORE).astype(np.uint8)})
    elif layout is not None and 'masks' in sample.gt_instances:
        whole = sample.gt_instances.masks.masks.astype(bool)
        parts = [mask[y1:y2, x1:x2] for mask, (x1, y1, x2, y2) in zip(whole, layout.boxes.tolist())]
        maps['masks'] = paint_masks(layout, parts)
    return panel_cells(rgb, classes, boxes, indices, others=maps, height=height)


def _ignored(sample: Any) -> np.ndarray:
    if 'ignored_instances' not in sample or 'bboxes' not in sample.ignored_instances:
        return np.zeros((0, 4))
    bboxes = sample.ignored_instances.bboxes
    return getattr(bboxes, 'tensor', bboxes).numpy().reshape(-1, 4)


def _set_seeds(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    )
