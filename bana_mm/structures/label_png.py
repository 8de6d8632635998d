"""Label maps as 8-bit palette PNG: 0 background, 1..L object classes, 255 ignored."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from bana_mm.utils.atomic import whole_file
from bana_mm.utils.image_files import MAX_PIXELS
from bana_mm.utils.palette import voc_palette

from .label_map import check_classes

_PALETTE = bytes(value for color in voc_palette(256) for value in color)


def write_label_png(path: str | Path, label: np.ndarray) -> None:
    """Write a label map so that a reader sees either the whole file or none.

    The map is written beside ``path`` under a temporary name that starts with a dot, then renamed.

    Args:
        path (str | Path): File to write; its folder must exist.
        label (np.ndarray): (H, W) uint8.

    Raises:
        ValueError: If ``label`` is not a two-dimensional uint8 array.
    """
    if label.ndim != 2 or label.dtype != np.uint8:
        raise ValueError(f'{path}: a label map is (H, W) uint8, got {label.shape} {label.dtype}')
    image = Image.fromarray(np.ascontiguousarray(label))  # mode 'L'
    image.putpalette(_PALETTE)  # turns it into mode 'P', indices unchanged
    with whole_file(path) as partial:
        image.save(partial, format='PNG')


def read_label_png(
    path: str | Path,
    size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    file: BinaryIO | None = None,
) -> np.ndarray:
    """Read a label map and check it.

    Args:
        path (str | Path): An 8-bit PNG with or without a palette.
        size (tuple[int, int], optional): Height and width that it must have. Defaults to None, any.
        num_classes (int, optional): Number L of object classes: allowed values are then 0..L and 255. Defaults to
            None, any value.
        file (BinaryIO, optional): What to read where the file is not a local one; ``path`` then is its name in
            messages. Defaults to None.

    Returns:
        np.ndarray: (H, W) uint8.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is no single-channel 8-bit image, is compressed with losses, has another size, or holds
            a class out of range. Its size is looked at before its pixels are decoded.
    """
    try:
        with Image.open(path if file is None else file) as image:
            problem = _header_problem(image, size)
            label = None if problem else np.array(image)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: label map is missing') from None
    except Exception as error:  # Pillow's readers fail in many ways on broken files
        raise ValueError(f'{path}: label map cannot be read ({error}); delete it and make it again') from error
    if label is None:
        raise ValueError(f'{path}: {problem}')
    check_classes(label, num_classes, path)
    return label


def _header_problem(image: Image.Image, size: tuple[int, int] | None) -> str | None:
    """What keeps an image from being a label map, by its head."""
    if image.mode not in ('P', 'L'):
        return f'a label map holds one 8-bit class index a pixel, but this image has mode {image.mode!r}'
    if image.format in ('JPEG', 'MPO'):
        return 'a label map is compressed without losses, as PNG is, but this is a JPEG: its classes have changed'
    found = image.size[::-1]
    if size is not None and found != tuple(size):
        return f'label map is {found[0]} x {found[1]} (height x width), but its image is {size[0]} x {size[1]}'
    if found[0] * found[1] > MAX_PIXELS:
        return f'label map declares {found[0]} x {found[1]} pixels, of which at most {MAX_PIXELS} are read'
    return None
