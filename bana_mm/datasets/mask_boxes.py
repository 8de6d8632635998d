"""Boxes from masks, for data sets that have masks but no boxes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from bana_mm.structures import IGNORE, read_label_png
from bana_mm.utils.progress import Progress

from .metainfo import object_classes
from .voc_files import image_size, read_ids, write_voc_xml

Box = tuple[int, int, int, int]


def instance_boxes(classes: np.ndarray, instances: np.ndarray, min_area: int = 1) -> list[tuple[int, Box]]:
    """The tight box of every instance.

    Its class is the one that most of its pixels have. VOC marks a strip along the edges of objects as ignored, so boxes
    from such masks are a few pixels smaller than those that VOC's annotators drew.

    Args:
        classes (np.ndarray): (H, W) uint8: 0 background, 1..L, 255 ignored.
        instances (np.ndarray): (H, W) uint8: 0 background, 1..254 the image's instances, 255 ignored.
        min_area (int): Smaller instances, in pixels, get no box. Defaults to 1.

    Returns:
        list: Class index 1..L and box of each instance in the order of their numbers. Boxes are xyxy, 0-based and
        half-open.

    Raises:
        ValueError: If an instance lies mostly on the background, or a class has pixels (at least ``min_area``) but no
            instance.
    """
    found, labels = [], set()
    for number in np.unique(instances[(instances != 0) & (instances != IGNORE)]):
        mask = instances == number
        label = int(np.bincount(classes[mask & (classes != IGNORE)], minlength=1).argmax())
        if label == 0:
            raise ValueError(f'instance {number} lies on no class of the class mask')
        labels.add(label)
        if mask.sum() >= min_area:
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            found.append((label, (x, y, x + width, y + height)))
    for label, area in enumerate(np.bincount(classes.ravel())[1:IGNORE], 1):
        if area >= max(min_area, 1) and label not in labels:
            raise ValueError(f'there is no instance of class {label}, which has {area} pixels in the class mask')
    return found


def component_boxes(classes: np.ndarray, min_area: int = 1) -> list[tuple[int, Box]]:
    """The tight box of every connected region of a class; pixels that touch at a corner are connected.

    Objects of one class that touch share a box, and an object in several parts has several.

    Args:
        classes (np.ndarray): (H, W) uint8: 0 background, 1..L, 255 ignored.
        min_area (int): Smaller regions, in pixels, get no box. Defaults to 1.

    Returns:
        list: Class index 1..L and box of each region, by class, then from top to bottom. Boxes are xyxy, 0-based and
        half-open.
    """
    found = []
    for label in np.unique(classes[(classes != 0) & (classes != IGNORE)]):
        stats = cv2.connectedComponentsWithStats((classes == label).astype(np.uint8), connectivity=8)[2].tolist()
        boxes = [(x, y, x + width, y + height) for x, y, width, height, area in stats[1:] if area >= min_area]
        found += [(int(label), box) for box in sorted(boxes, key=lambda box: (box[1], box[0]))]
    return found


def _has_object(path: Path) -> bool:
    return b'<object>' in path.read_bytes()


def masks_to_xml(
    root: str | Path,
    classes: Sequence[str],
    split: str | None = None,
    class_dir: str = 'SegmentationClass',
    instance_dir: str | None = 'SegmentationObject',
    out_dir: str = 'Annotations',
    img_suffix: str = '.jpg',
    min_area: int = 1,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write the XML of every image of a data set in VOC's layout.

    XML that is there already is kept, so that a run that was killed goes on where it stopped.

    Args:
        root (str | Path): Root of the data set; the other folders are below it. Images are in ``JPEGImages``.
        classes (Sequence[str]): Names of the classes 1..L.
        split (str | None): Name of a list in ``ImageSets/Segmentation``, without ``.txt``. Defaults to None, every
            image that has a class mask.
        class_dir (str): Folder of the class masks. Defaults to 'SegmentationClass'.
        instance_dir (str | None): Folder of the instance masks; None takes every connected region of a class for an
            object. Defaults to 'SegmentationObject'.
        out_dir (str): Folder to fill. Defaults to 'Annotations'.
        img_suffix (str): Defaults to '.jpg'.
        min_area (int): Smaller objects, in pixels, get no box. Defaults to 1.
        overwrite (bool): Replace XML that is there. Defaults to False.

    Returns:
        tuple[int, int]: How many files were written, and how many kept.

    Raises:
        FileNotFoundError: If a folder, the list, an image or a mask is missing.
        ValueError: If a mask can't be read, has another size than its image, a class out of range, or the two masks of
            an image disagree; or if no mask holds a class, only ignored pixels. Every message names the file.
    """
    root, classes = Path(root), object_classes(classes)
    if not (root / class_dir).is_dir():
        raise FileNotFoundError(f'{root / class_dir}: folder of the class masks does not exist')
    if instance_dir is not None and not (root / instance_dir).is_dir():
        raise FileNotFoundError(
            f'{root / instance_dir}: folder of the instance masks does not exist; without them, '
            'take the connected regions of the class masks (--components)'
        )
    if split is None:
        img_ids = sorted(path.stem for path in (root / class_dir).glob('[!.]*.png'))
        if not img_ids:
            raise FileNotFoundError(f'{root / class_dir}: holds no mask (ID.png)')
    else:
        img_ids = read_ids(
            root / 'ImageSets/Segmentation' / f'{split}.txt', lambda name: (root / class_dir / f'{name}.png').is_file()
        )
    (root / out_dir).mkdir(parents=True, exist_ok=True)
    todo = [img_id for img_id in img_ids if overwrite or not (root / out_dir / f'{img_id}.xml').exists()]
    found_any, has_ignored = False, False
    with Progress(len(img_ids), len(img_ids) - len(todo), 'boxes') as progress:
        for img_id in todo:
            size = image_size(root / 'JPEGImages' / f'{img_id}{img_suffix}')
            class_map = read_label_png(root / class_dir / f'{img_id}.png', size, len(classes))
            if instance_dir is None:
                found = component_boxes(class_map, min_area)
            else:
                path = root / instance_dir / f'{img_id}.png'
                instance_map = read_label_png(path, size)
                try:
                    found = instance_boxes(class_map, instance_map, min_area)
                except ValueError as error:
                    raise ValueError(f'{path}: {error}') from error
            found_any |= bool(found)
            has_ignored |= bool((class_map == IGNORE).any())
            path = root / out_dir / f'{img_id}.xml'
            path.parent.mkdir(parents=True, exist_ok=True)
            write_voc_xml(
                path,
                f'{img_id}{img_suffix}',
                size,
                [(classes[label - 1], box) for label, box in found],
            )
            progress.update()
    kept = set(img_ids) - set(todo)
    if has_ignored and not found_any and not any(_has_object(root / out_dir / f'{img_id}.xml') for img_id in kept):
        raise ValueError(
            f'{root / class_dir}: none of these masks holds a class, and {root / out_dir} now says that there are no '
            'objects. Masks must hold class indices 1..L; those of 0 and 255, as many programs write them, mark '
            'nothing but ignored pixels'
        )
    return len(todo), len(img_ids) - len(todo)
