"""COCO files of pseudo masks, written from a COCO file of boxes and the labels of its instances."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
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


def find_true_masks(ann_file: str | Path) -> frozenset[int]:
    """Ids of the annotations that have a mask of their own: polygons or run lengths with a pixel in the image.

    Ignored annotations are none of them, nor are those with a field ``unreliable``, whose masks are pseudo masks.

    Args:
        ann_file (str | Path): COCO's JSON of instances.

    Raises:
        ValueError: If a mask can't be drawn or is of another size than its image (the message names the annotation),
            or the file is one of pseudo masks.
    """
    if read_record(ann_file) is not None:
        raise ValueError(f'{ann_file}: its masks are pseudo masks, which can not be kept as true ones')
    sizes = _image_sizes(ann_file)
    found = set()
    with JSONReader(ann_file) as reader:
        for name in reader.names():
            if name == 'annotations':
                found.update(one['id'] for one in reader.elements() if _has_true_mask(ann_file, one, sizes))
    return frozenset(found)


def _has_true_mask(ann_file: str | Path, annotation: dict[str, Any], sizes: Mapping[int, tuple[int, int]]) -> bool:
    from bana_mm.datasets.coco_files import is_ignored  # worker processes do without the data sets' mm* packages

    segmentation = annotation.get('segmentation')
    if is_ignored(annotation) or annotation.get('unreliable') is not None or not _has_mask(segmentation):
        return False
    try:
        return bool(mask_api.area(mask_of(segmentation, sizes[annotation['image_id']])))
    except ValueError as error:
        raise ValueError(f'{ann_file}: annotation {annotation["id"]}: {error}; correct or remove its mask') from error


def write_pseudo_masks(
    path: str | Path,
    ann_file: str | Path,
    parts: LabelParts,
    image_ids: Iterable[int],
    record: Mapping[str, Any],
    kept: Collection[int] = (),
) -> None:
    """Write the file of pseudo masks, without holding either file in memory.

    It has the images, annotations and categories of ``ann_file``, with all of their fields and in the same order, and
    :data:`RECORD_FIELD` in front of them. A labelled annotation gets the label's fields: ``segmentation`` and
    ``unreliable`` (run lengths), ``area`` and ``score``. The others (crowds, boxes without area, categories that are no
    class) stay as they are; but since pycocotools and mmdet fail on annotations without a mask, one that has none gets
    the pixels of its box, all of them unreliable. Where ``area`` is missing it is added (the pixels of the mask, else
    the box's), and so is ``iscrowd``, as 0. An annotation of ``kept`` has its own mask in place of a label:
    ``segmentation`` as it was, no ``unreliable`` pixel and ``score`` 1.

    Args:
        path (str | Path): File to write, as a whole or not at all. Its folder must exist.
        ann_file (str | Path): COCO's JSON of instances.
        parts (LabelParts): Labels of its images.
        image_ids (Iterable[int]): The images that must have their labels.
        record (Mapping): JSON-like: how the masks were made.
        kept (Collection[int]): Annotations that keep their masks, see :func:`find_true_masks`. Defaults to none.

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
                writer.elements(name, _with_masks(reader.elements(), parts, places, sizes, kept))
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
    kept: Collection[int],
) -> Iterator[dict[str, Any]]:
    for annotation in annotations:
        size, place = sizes[annotation['image_id']], places.get(annotation['image_id'])
        label = None if place is None else parts.labels(place).get(annotation['id'])
        if annotation['id'] in kept:
            label = dict(unreliable=encode_mask(np.zeros((0, 0), bool), size), score=1.0)
        elif label is None:
            label = {} if _has_mask(annotation.get('segmentation')) else _box_label(annotation, size)
        if annotation.get('area') is None and 'area' not in label:
            label['area'] = _area(annotation, size)
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
    """Pixels of the mask that an annotation has; of its box, where it has none or that can't be drawn."""
    mask = annotation.get('segmentation')
    try:
        return float(mask_api.area(mask_of(_drawable(mask) if isinstance(mask, list) else mask, size)))
    except ValueError:
        *_, width, height = annotation['bbox']
        return max(width * height, 0.0)
