"""COCO files of pseudo masks, written from a COCO file of boxes and the labels of its instances."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from bana_mm.structures import encode_mask
from bana_mm.structures.run_length import mask_of
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.json_stream import JSONReader, JSONWriter

from .parts import LabelParts

# The first field of a file of pseudo masks; it says how they were made.
RECORD_FIELD = 'pseudo_masks'


def read_record(path: str | Path) -> dict[str, Any] | None:
    """How the pseudo masks of a file were made; None where it does not say so, as in COCO's own files.

    Args:
        path (str | Path): A JSON file.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is no JSON object.
    """
    with JSONReader(path) as reader:
        for name in reader.names():
            return reader.value() if name == RECORD_FIELD else None


def write_pseudo_masks(
    path: str | Path, ann_file: str | Path, parts: LabelParts, image_ids: Iterable[int], record: Mapping[str, Any]
) -> None:
    """Write the file of pseudo masks, without holding either file in memory.

    It has the images, annotations and categories of ``ann_file``, with all of their fields and in the same order, and
    :data:`RECORD_FIELD` in front of them. A labelled annotation gets the label's fields: ``segmentation`` and
    ``unreliable`` (run lengths), ``area`` and ``score``. The others (crowds, boxes without area, categories that are no
    class) stay as they are; but since pycocotools and mmdet fail on annotations without a mask, one that has none gets
    the pixels of its box, all of them unreliable. Where ``area`` is missing it is added (the pixels of the mask, else
    the box's), and so is ``iscrowd``, as 0.

    Args:
        path (str | Path): File to write, as a whole or not at all. Its folder must exist.
        ann_file (str | Path): COCO's JSON of instances.
        parts (LabelParts): Labels of its images.
        image_ids (Iterable[int]): The images that must have their labels.
        record (Mapping): JSON-like: how the masks were made.

    Raises:
        ValueError: If an image lacks its labels; the message says how many do.
    """
    places = parts.index()
    missing = [image_id for image_id in image_ids if image_id not in places]
    if missing:
        raise ValueError(
            f'{parts.root}: {len(missing)} images of {ann_file} have no labels yet, such as image_id '
            f'{missing[0]}; the same command makes them'
        )
    sizes = _image_sizes(ann_file)
    with whole_file(path) as partial, open(partial, 'w', encoding='ascii') as file, JSONReader(ann_file) as reader:
        writer = JSONWriter(file)
        writer.value(RECORD_FIELD, record)
        for name in reader.names():
            if name == RECORD_FIELD:  # the boxes are those of a file of pseudo masks
                continue
            if name == 'annotations':
                writer.elements(name, _with_masks(reader.elements(), parts, places, sizes))
            elif reader.is_array():
                writer.elements(name, reader.elements())
            else:
                writer.value(name, reader.value())
        writer.close()
        file.flush()
        os.fsync(file.fileno())  # the parts are removed after this


def _image_sizes(ann_file: str | Path) -> dict[int, tuple[int, int]]:
    with JSONReader(ann_file) as reader:
        for name in reader.names():
            if name == 'images':
                return {image['id']: (image['height'], image['width']) for image in reader.elements()}
    return {}


def _with_masks(
    annotations: Iterable[dict[str, Any]],
    parts: LabelParts,
    places: Mapping[int, tuple[int, int]],
    sizes: Mapping[int, tuple[int, int]],
) -> Iterator[dict[str, Any]]:
    for annotation in annotations:
        place = places.get(annotation['image_id'])
        label = None if place is None else parts.labels(place).get(annotation['id'])
        if label is None:
            label = {}
            if not _has_mask(annotation.get('segmentation')):
                label = _box_label(annotation, sizes[annotation['image_id']])
                if annotation.get('area') is None:
                    label['area'] = _box_area(annotation)
            elif annotation.get('area') is None:
                label['area'] = _area(annotation, sizes[annotation['image_id']])
        yield {'iscrowd': 0, **annotation, **label}


def _has_mask(segmentation: Any) -> bool:
    """Whether it is run lengths, or has a polygon that pycocotools can draw."""
    if isinstance(segmentation, dict):
        return bool(segmentation.get('counts')) and bool(segmentation.get('size'))
    return isinstance(segmentation, list) and bool(_drawable(segmentation))


def _drawable(polygons: list) -> list[list[float]]:
    """Those with three points or more."""
    return [one for one in polygons if isinstance(one, list) and len(one) >= 6]


def _box_label(annotation: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """What stands in for the mask of an annotation that has none."""
    x, y, width, height = annotation['bbox']
    x1, x2 = (min(max(round(edge), 0), size[1]) for edge in (x, x + width))
    y1, y2 = (min(max(round(edge), 0), size[0]) for edge in (y, y + height))
    box = encode_mask(np.ones((max(y2 - y1, 0), max(x2 - x1, 0)), bool), size, (x1, y1))
    return dict(segmentation=box, unreliable=box)


def _area(annotation: Mapping[str, Any], size: tuple[int, int]) -> float:
    """Pixels of the mask that an annotation has; of its box, where that mask can't be drawn."""
    mask = annotation['segmentation']
    try:
        return float(mask_api.area(mask_of(mask if isinstance(mask, dict) else _drawable(mask), size)))
    except ValueError:
        return _box_area(annotation)


def _box_area(annotation: Mapping[str, Any]) -> float:
    *_, width, height = annotation['bbox']
    return max(width * height, 0.0)
