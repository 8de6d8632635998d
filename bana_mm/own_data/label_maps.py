"""True masks of annotations as label maps, for evaluation and for trainings with some true masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.datasets.coco_files import is_ignored
from bana_mm.structures import IGNORE, BoxLayout, decode_mask, write_label_png
from bana_mm.structures.instance_mask import front_to_back
from bana_mm.structures.run_length import mask_of
from bana_mm.utils.progress import Progress


def has_masks(annotations: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all annotations of an image have a mask; those of an image without any do."""
    return all(annotation.get('segmentation') for annotation in annotations)


def paint_label_map(
    annotations: Sequence[Mapping[str, Any]], class_of: Mapping[int, int], size: tuple[int, int]
) -> np.ndarray:
    """The label map of an image, the smallest box in front.

    Args:
        annotations (Sequence[Mapping]): COCO's entries with ``bbox``, ``category_id`` and ``segmentation``.
        class_of (Mapping[int, int]): Class 1..L of each category; others are background.
        size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        np.ndarray: (H, W) uint8: 0 background, 1..L classes, 255 where there are crowds and ignored objects only.

    Raises:
        ValueError: If a mask can't be read.
    """
    kept = [one for one in annotations if one['category_id'] in class_of]
    label_map = np.zeros(size, np.uint8)
    for one in kept:
        if is_ignored(one):
            label_map[decode_mask(mask_of(one['segmentation'], size), size)] = IGNORE
    kept = [one for one in kept if not is_ignored(one)]
    corners = [(x, y, x + width, y + height) for x, y, width, height in (one['bbox'] for one in kept)]
    layout = BoxLayout.from_boxes(size, corners, [class_of[one['category_id']] for one in kept])
    for k, _ in reversed(list(front_to_back(layout))):
        mask = decode_mask(mask_of(kept[k]['segmentation'], size), size)
        label_map[mask] = class_of[kept[k]['category_id']]
    return label_map


def write_label_maps(
    content: Mapping[str, Any], images: Sequence[Mapping[str, Any]], classes: Sequence[str], folder: Path
) -> None:
    """Write ``FOLDER/NAME.png`` for images of a file in COCO's format.

    Args:
        content (Mapping): The file, with ``annotations`` and ``categories``.
        images (Sequence[Mapping]): Entries of the images to write; all their annotations have a mask.
        classes (Sequence[str]): Names of the classes 1..L.
        folder (Path): Made where it is missing.

    Raises:
        ValueError: If a mask can't be read; the message names the annotation's image.
    """
    numbers = {name: number for number, name in enumerate(classes, 1)}
    class_of = {one['id']: numbers[one['name']] for one in content['categories'] if one['name'] in numbers}
    of_image: dict[int, list[Mapping[str, Any]]] = {image['id']: [] for image in images}
    for annotation in content['annotations']:
        if annotation['image_id'] in of_image:
            of_image[annotation['image_id']].append(annotation)
    with Progress(len(images), title='label maps') as progress:
        for image in images:
            try:
                label_map = paint_label_map(of_image[image['id']], class_of, (image['height'], image['width']))
            except ValueError as error:
                raise ValueError(f'{image["file_name"]}: {error}') from error
            path = folder / Path(image['file_name']).with_suffix('.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_png(path, label_map)
            progress.update()
