"""Lists, boxes and sizes as files of PASCAL VOC's layout. What is written is there as a whole or not at all."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from bana_mm.utils.atomic import whole_file


def read_ids(path: str | Path) -> list[str]:
    """The ids in a list of images.

    Args:
        path (str | Path): Text file with one id a line.

    Raises:
        FileNotFoundError: If the list is missing.
        ValueError: If it is empty, or a line is something else, such as a pair of paths, or there twice.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: list of images is missing; it must hold one image id a line')
    ids = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
    if not ids:
        raise ValueError(f'{path}: lists no image')
    seen = set()
    for line in ids:
        if line in seen or len(line.split()) > 1 or '/' in line:
            raise ValueError(
                f'{path}: {line!r} is {"there twice" if line in seen else "no image id"}; the list must '
                'hold one image id a line, each once, without folder and suffix'
            )
        seen.add(line)
    return ids


def write_ids(path: str | Path, ids: Iterable[str]) -> None:
    """Write a list of images, one id a line; its folder must exist."""
    with whole_file(path) as partial:
        partial.write_text(''.join(f'{img_id}\n' for img_id in ids))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image in pixels, from its header.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: If it can't be read.
    """
    try:
        with Image.open(path) as image:
            return image.size[::-1]
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: image is missing') from None
    except OSError as error:
        raise ValueError(f'{path}: image cannot be read ({error})') from error


def write_voc_xml(
    path: str | Path, filename: str, size: tuple[int, int], objects: Sequence[tuple[str, Sequence[int]]]
) -> None:
    """Write an image's boxes.

    Args:
        path (str | Path): File to write; its folder must exist.
        filename (str): Name of the image.
        size (tuple[int, int]): Its height and width in pixels.
        objects (Sequence): Class name and box of each object. Boxes are whole pixels, xyxy, 0-based and half-open; in
            the file they are VOC's, 1-based with both ends inclusive.
    """
    root = ET.Element('annotation')
    _append(root, filename=filename)
    _append(ET.SubElement(root, 'size'), width=size[1], height=size[0], depth=3)
    _append(root, segmented=1)
    for name, (x1, y1, x2, y2) in objects:
        node = ET.SubElement(root, 'object')
        _append(node, name=name, pose='Unspecified', truncated=0, difficult=0)
        _append(ET.SubElement(node, 'bndbox'), xmin=x1 + 1, ymin=y1 + 1, xmax=x2, ymax=y2)
    ET.indent(root)
    with whole_file(path) as partial:
        ET.ElementTree(root).write(partial, encoding='utf-8')


def _append(node: ET.Element, **texts: str | int) -> None:
    for key, value in texts.items():
        ET.SubElement(node, key).text = str(value)
