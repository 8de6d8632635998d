"""A small synthetic data set in PASCAL VOC's layout, for demonstrations and tests."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from bana_mm.structures import write_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.progress import Progress
from bana_mm.utils.record import read_json, write_json

from .synthetic_images import SYNTHETIC_CLASSES, draw_image, tight_box
from .voc_files import write_ids, write_voc_xml


def _label_map(
    visible: Sequence[tuple[str, np.ndarray]], classes: Sequence[str], shape: tuple[int, int], border: int
) -> np.ndarray:
    """(H, W) uint8: 0 background, 1..L, and 255 within ``border`` pixels of an object's edge."""
    label = np.zeros(shape, np.uint8)
    edge = np.zeros(shape, bool)
    kernel = np.ones((2 * border + 1, 2 * border + 1), np.uint8)
    for name, mask in visible:
        label[mask] = classes.index(name) + 1
        mask = mask.astype(np.uint8)
        edge |= cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)
    label[edge] = 255
    return label


def make_synthetic_voc(
    root: str | os.PathLike,
    num_train: int = 200,
    num_val: int = 50,
    image_size: tuple[int, int] = (96, 128),
    classes: Sequence[str] = SYNTHETIC_CLASSES,
    seed: int = 0,
    border: int = 0,
    progress: bool = False,
) -> Path:
    """Write the data set: ``JPEGImages``, ``Annotations``, ``SegmentationClassAug`` and ``ImageSets/Segmentation``.

    The splits are ``train_aug`` (all training images), ``train`` (its first half) and ``val``. An image depends on the
    seed, its split and its number only, not on how many there are. A root that holds the same data set already is left
    as it is, one that was begun with the same settings is finished, one with others is written anew.

    Args:
        root (str | os.PathLike): Folder to fill; it takes the place of ``VOCdevkit/VOC2012``.
        num_train (int): Training images. Defaults to 200.
        num_val (int): Validation images. Defaults to 50.
        image_size (tuple[int, int]): Least and largest height and width in pixels. Defaults to (96, 128).
        classes (Sequence[str]): Some of :data:`SYNTHETIC_CLASSES`, which is the default; label c is the c-th of them.
        seed (int): Defaults to 0.
        border (int): Pixels on both sides of an object's edge that the masks mark 255, as VOC's do. Defaults to 0.
        progress (bool): Whether to show it. Defaults to False.

    Returns:
        Path: ``root``.

    Raises:
        ValueError: If a class is unknown, or an image would be smaller than 32 pixels.
        FileExistsError: If ``root`` holds something else.
    """
    root = Path(root)
    unknown = sorted(set(classes) - set(SYNTHETIC_CLASSES))
    if unknown or not classes:
        raise ValueError(f'classes: unknown {unknown}; choose from {", ".join(SYNTHETIC_CLASSES)}')
    if not 32 <= image_size[0] <= image_size[1]:
        raise ValueError(f'image_size must be (least, largest) with least >= 32, got {tuple(image_size)}')
    settings = dict(
        num_train=num_train,
        num_val=num_val,
        image_size=list(image_size),
        classes=list(classes),
        seed=seed,
        border=border,
        finished=True,
    )
    marker = root / 'synthetic.json'
    found, begun = _settings_in(marker, root), {**settings, 'finished': False}
    if found == settings:
        return root
    folders = [root / name for name in ('JPEGImages', 'Annotations', 'SegmentationClassAug', 'ImageSets/Segmentation')]
    if found != begun:
        root.mkdir(parents=True, exist_ok=True)
        if found is not None:
            write_json(marker, dict(finished=False))  # of nothing: killed now, what is there is not gone on with
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        write_json(marker, begun)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    splits = dict(train_aug=[f'train_{i:05d}' for i in range(num_train)], val=[f'val_{i:05d}' for i in range(num_val)])
    todo = [(number, index, img_id) for number, ids in enumerate(splits.values()) for index, img_id in enumerate(ids)]
    with Progress(len(todo), title='drawing', shown=progress) as bar:
        for number, index, img_id in todo:
            bar.update()
            files = (folders[0] / f'{img_id}.jpg', folders[1] / f'{img_id}.xml', folders[2] / f'{img_id}.png')
            if all(path.exists() for path in files):
                continue
            rng = np.random.default_rng([seed, number, index])
            shape = tuple(int(side) for side in rng.integers(image_size[0], image_size[1], size=2, endpoint=True))
            image, visible = draw_image(rng, classes, shape)
            with whole_file(files[0]) as partial:
                Image.fromarray(image).save(partial, format='JPEG', quality=95, subsampling=0)
            boxes = [(name, tight_box(mask)) for name, mask in visible]
            write_voc_xml(files[1], f'{img_id}.jpg', shape, boxes)
            write_label_png(files[2], _label_map(visible, list(classes), shape, border))
    splits['train'] = splits['train_aug'][: (num_train + 1) // 2]
    for name, ids in splits.items():
        write_ids(folders[3] / f'{name}.txt', ids)
    write_json(marker, settings)
    return root


def _settings_in(marker: Path, root: Path) -> dict | None:
    """What an earlier call wrote to the root, None for an empty or missing root."""
    if marker.is_file():
        return read_json(marker)
    if root.exists() and any(not path.name.endswith('.part') for path in root.iterdir()):
        raise FileExistsError(f'{root} is not empty and holds no synthetic data set: choose another folder')
    return None


def make_tiny_voc(root: str | os.PathLike, seed: int = 0) -> Path:
    """Eight images of about 64 x 48 pixels of two classes (ring, triangle), six of them for training: for tests.

    Args:
        root (str | os.PathLike): Folder to fill.
        seed (int): Defaults to 0.

    Returns:
        Path: ``root``.
    """
    return make_synthetic_voc(root, 6, 2, image_size=(48, 64), classes=('ring', 'triangle'), seed=seed)
