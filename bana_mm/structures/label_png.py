"""Label maps as 8-bit palette PNG: 0 background, 1..L object classes, 255 ignored."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from bana_mm.utils.atomic import whole_file
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


def read_label_png(path: str | Path, size: tuple[int, int] | None = None, num_classes: int | None = None) -> np.ndarray:
    """Read a label map and check it.

    Args:
        path (str | Path): An 8-bit PNG with or without a palette.
        size (tuple[int, int], optional): Height and width that it must have. Defaults to None, any.
        num_classes (int, optional): Number L of object classes: allowed values are then 0..L and 255. Defaults to
            None, any value.

    Returns:
        np.ndarray: (H, W) uint8.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is no single-channel 8-bit image, has another size, or holds a class out of range.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ('P', 'L'):
                raise ValueError(
                    f'{path}: a label map holds one 8-bit class index a pixel, but this image has mode {image.mode!r}'
                )
            label = np.array(image)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: label map is missing') from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f'{path}: label map cannot be read ({error}); delete it and make it again') from error
    if size is not None and label.shape != tuple(size):
        raise ValueError(
            f'{path}: label map is {label.shape[0]} x {label.shape[1]} (height x width), '
            f'but its image is {size[0]} x {size[1]}'
        )
    check_classes(label, num_classes, path)
    return label
