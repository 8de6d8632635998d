"""Lists, boxes and sizes as files of PASCAL VOC's layout. What is written is there as a whole or not at all.

XML is checked by hand after expat has read it: a schema could not name the object and field, and what to do about it.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bana_mm.utils.atomic import whole_file
from bana_mm.utils.image_files import image_size
from bana_mm.utils.problems import STOP, Problems
from bana_mm.utils.safe_id import safe_id
from bana_mm.utils.text_file import read_text
from bana_mm.utils.xml_file import read_xml

__all__ = ['VOCObject', 'image_size', 'read_ids', 'read_voc_xml', 'write_ids', 'write_voc_xml']

_CLASS_FLAG = re.compile(r'\s-?[01]$')  # VOC's lists of a class: "2007_000032 -1"


def read_ids(path: str | Path, exists: Callable[[str], bool] | None = None, problems: Problems = STOP) -> list[str]:
    """The ids in a list of images.

    An id may have white space and subfolders in it, as the file that it names has.

    Args:
        path (str | Path): Text file in UTF-8 with one image id a line.
        exists (Callable[[str], bool] | None): Says of an id whether there is such a file; asked about ids with white
            space or subfolders, which may be something else. Defaults to None: those are taken that look like ids.
        problems (Problems): What is told of lines that are no ids. Defaults to what stops at the first.

    Raises:
        FileNotFoundError: If the list is missing.
        ValueError: If it is empty or no text in UTF-8, or a line is something else, such as a pair of paths, or there
            twice.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: list of images is missing; it must hold one image id a line')
    ids = [line.strip() for line in read_text(path).split('\n') if line.strip()]
    if not ids:
        raise ValueError(f'{path}: lists no image')
    good: dict[str, None] = {}
    for line in ids:
        if line in good or not _is_id(line, exists):
            error = ValueError(
                f'{path}: {line!r} is {"there twice" if line in good else "no image id"}; the list must '
                'hold one image id a line, each once, without suffix and without the folder of all images'
            )
            problems.error('unreadable-list', error, str(path), f'line {line!r}')
        else:
            good[line] = None
    return list(good)


def _is_id(line: str, exists: Callable[[str], bool] | None) -> bool:
    try:
        safe_id(line)
    except ValueError:
        return False
    is_unusual, has_folder = len(line.split()) > 1, '/' in line
    if exists is not None:
        return not (is_unusual or has_folder) or exists(line)
    return not (is_unusual and (has_folder or _CLASS_FLAG.search(line)))


def write_ids(path: str | Path, ids: Iterable[str]) -> None:
    """Write a list of images, one id a line; its folder must exist."""
    with whole_file(path) as partial:
        partial.write_text(''.join(f'{img_id}\n' for img_id in ids), encoding='utf-8')


class VOCObject(NamedTuple):
    """An ``object`` of VOC's XML.

    Args:
        name (str): Its class.
        box (tuple[float, float, float, float]): xyxy in pixel edges, 0-based and half-open, as the file has it: it may
            reach over the image's edge, or be empty.
        difficult (bool): Whether it is marked so.
        number (int): Its place among the file's objects, from 0.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool
    number: int


def read_voc_xml(path: str | Path, problems: Problems = STOP) -> tuple[tuple[int, int] | None, list[VOCObject]]:
    """Read an image's boxes in PASCAL VOC's format.

    Args:
        path (str | Path): The XML. Definitions of entities, which could blow it up or name other files, are refused.
        problems (Problems): What is told of bad objects. Defaults to what stops at the first.

    Returns:
        tuple[tuple[int, int] | None, list[VOCObject]]: Height and width of the image, None where the file has no whole
        numbers above zero; and its objects in the order of the file.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such file, or an object lacks a field. The message names the file and the object.
    """
    root = read_xml(path)
    if root.tag.lower() != 'annotation':
        raise ValueError(f"{path}: is no annotation in VOC's format: its outer element is {root.tag!r}")
    objects = []
    nodes = root.findall('object')
    for number, node in enumerate(nodes):
        where, name = f'{path}: object {number}', (node.findtext('name') or '').strip()
        with problems.guard('unreadable-annotation', str(path), f'object {number}'):
            objects.append(VOCObject(name, _box(node, where), _difficult(node, where), number))
    if not nodes and any(node.tag.lower() in ('object', 'bndbox') for node in root.iter()):
        raise ValueError(f"{path}: its boxes are not where VOC's format has them, annotation/object/bndbox")
    height, width = (_side(root, key) for key in ('height', 'width'))
    return ((height, width) if height and width else None), objects


def _side(root: ET.Element, key: str) -> int:
    """Height or width, 0 where there is none."""
    try:
        value = float(root.findtext(f'size/{key}') or 0)
    except ValueError:  # such as None
        return 0
    return int(value) if 1 <= value < 2**31 else 0


def _box(node: ET.Element, where: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(node.find('bndbox').findtext(key)) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f'{where}: bndbox must hold the numbers xmin, ymin, xmax and ymax') from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise ValueError(f'{where}: bndbox xmin={x1:g} ymin={y1:g} xmax={x2:g} ymax={y2:g} is not finite')
    return x1 - 1, y1 - 1, x2, y2  # 1-based inclusive -> 0-based half-open


def _difficult(node: ET.Element, where: str) -> bool:
    text = (node.findtext('difficult') or '').strip().lower()
    if text in ('', '0', 'false', 'no', 'unspecified', 'none'):
        return False
    if text in ('1', 'true', 'yes'):
        return True
    raise ValueError(f'{where}: difficult must be 0 or 1, got {text!r}')


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
