"""Sizes of images, found out before their pixels are read, and checked against what annotations say."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image

ORIENTATION = 0x0112  # number of the EXIF tag
SWAPPING = (5, 6, 7, 8)  # orientations that swap height and width
# Larger images are taken for broken or hostile: a file of a few kilobytes may declare any size. It is Pillow's limit.
MAX_PIXELS = 178_956_970
UNSURE_ORIENTATION = (
    'has an EXIF orientation, and the size in its annotations does not tell if the boxes were drawn with it; they are '
    'taken as drawn on the image as viewers show it. To be sure, turn the pixels themselves (mogrify -auto-orient FILE)'
)


class ImageHeader(NamedTuple):
    """What the head of an image file says.

    Args:
        stored (tuple[int, int]): Height and width of the stored pixels.
        orientation (int): EXIF orientation, 1 (upright) to 8.
    """

    stored: tuple[int, int]
    orientation: int

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width as viewers show the image, and as it is loaded here."""
        return self.stored[::-1] if self.orientation in SWAPPING else self.stored

    @property
    def is_told_by_size(self) -> bool:
        """Whether a size says if it is that of the stored image or of the shown one; True where they are the same."""
        return self.orientation == 1 or self.shown != self.stored


def read_header(path: str | Path) -> ImageHeader:
    """Read the head of an image; its pixels are not decoded.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: If it can't be read, or declares more than :data:`MAX_PIXELS` pixels.
    """
    try:
        with Image.open(path) as image:
            size = image.size[::-1]
            orientation = _orientation(image)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: image is missing') from None
    except Image.DecompressionBombError:
        raise ValueError(_too_large(path)) from None
    except Exception as error:  # Pillow's readers fail in many ways on broken files
        raise ValueError(f'{path}: image cannot be read ({error})') from error
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(_too_large(path, size))
    return ImageHeader(size, orientation)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image in pixels as viewers show it and as it is loaded, from its head.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: See :func:`read_header`.
    """
    return read_header(path).shown


def check_image_size(path: str | Path, found: tuple[int, int], expected: tuple[int, int]) -> None:
    """Stop at an image that is not as large as its annotations say: its boxes would lie somewhere else.

    Args:
        path (str | Path): The image.
        found (tuple[int, int]): Its height and width in pixels as it was loaded.
        expected (tuple[int, int]): Height and width in its annotations.

    Raises:
        ValueError: If they differ, see :func:`size_problem`.
    """
    if tuple(found[:2]) != tuple(expected[:2]):
        raise ValueError(size_problem(path, tuple(found[:2]), tuple(expected[:2])))


def size_problem(path: str | Path, loaded: tuple[int, int], told: tuple[int, int]) -> str:
    """What is wrong with an image whose loaded size is not the one in the annotation file.

    Args:
        path (str | Path): The image.
        loaded (tuple[int, int]): Its height and width in pixels, turned by its EXIF orientation.
        told (tuple[int, int]): Height and width in the annotation file.

    Returns:
        str: The message, which names the orientation if that is why.
    """
    message = (
        f'{path}: the image has height and width {loaded[0]} x {loaded[1]}, but its annotation file says '
        f'{told[0]} x {told[1]}'
    )
    try:
        orientation = read_header(path).orientation
    except (OSError, ValueError):  # of a format that only the loader knows
        orientation = 1
    if orientation != 1 and loaded == told[::-1]:
        return (
            f'{message}: it is turned by its EXIF orientation ({orientation}) and its boxes were drawn without '
            'that; remove the tag from the image (exiftool -Orientation= FILE)'
        )
    return f'{message}; correct height and width, or bring the image that the boxes were drawn on'


def check_image_file(path: str | Path) -> ImageHeader:
    """Look at an image before its pixels are decoded.

    Returns:
        ImageHeader: What its head says.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: See :func:`read_header`; or if it is a JPEG that ends early, as after a broken download: some
            decoders fill the rest with grey.
    """
    header = read_header(path)
    with open(path, 'rb') as file:
        content = file.read()
    if content.startswith(b'\xff\xd8') and b'\xff\xd9' not in content:
        raise ValueError(f'{path}: the image is cut off, as by a broken download; copy it again')
    return header


def _orientation(image: Image.Image) -> int:
    try:
        # Pillow's own method for PNG decodes the pixels to find the tag behind them.
        value = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # broken EXIF: viewers show such an image as it is stored
        return 1
    return value if value in range(1, 9) else 1


def _too_large(path: str | Path, size: tuple[int, int] | None = None) -> str:
    told = f'{size[0]} x {size[1]} (height x width)' if size else f'more than {MAX_PIXELS}'
    return (
        f'{path}: the file declares {told} pixels, of which at most {MAX_PIXELS} are read; '
        'cut the image into tiles, or scale it down'
    )
