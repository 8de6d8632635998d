"""LabelMe: a JSON beside each image, with shapes in pixels from the upper left corner of the image."""

import base64
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bana_mm.structures import encode_mask
from bana_mm.utils.problems import Problems
from bana_mm.utils.progress import Progress
from bana_mm.utils.shortened import shortened
from bana_mm.utils.text_file import read_text

from .source import ImagesByName, Size, Source, SourceImage, SourceObject, box_around, split_of_path, walk

_WITH_AREA = ('rectangle', 'polygon', 'circle', 'mask')


def read_labelme(root: Path, problems: Problems) -> Source:
    """Read a data set of LabelMe's.

    Args:
        root (Path): A folder with JSON files, at any depth; ``labels.txt``, if it is there, has the order of the
            classes, one a line. An image is where its JSON says, or beside the JSON, or anywhere below the folder if
            only one has its name.
        problems (Problems): What is told of files that can't be read, and of bad shapes.

    Returns:
        Source: Rectangles, polygons, circles and masks have a box; shapes of one class with one ``group_id`` are one
        object. Points and lines have no area and are told as warnings. Folders called after parts of the data, such
        as ``train`` and ``val``, say what part their images are.

    Raises:
        ValueError: If ``labels.txt`` is no text.
    """
    files = [path for path in walk(root) if path.suffix.lower() == '.json']
    images, by_name = [], ImagesByName(root)
    with Progress(len(files), title='annotations', unit='files') as progress:
        for file in files:
            with problems.guard('unreadable-annotation', str(file)):
                content = read_file(file)
                if content is not None:
                    images.append(_image(file, content, root, by_name, problems))
            progress.update()
    return Source(images, _order(root))


def read_file(path: Path) -> dict[str, Any] | None:
    """A file of LabelMe's without its image; None for JSON that is something else.

    Raises:
        ValueError: If it is no JSON, or lacks a field.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from error
    if not isinstance(content, dict) or 'shapes' not in content:
        return None
    if content.pop('imageData', None) and not content.get('imagePath'):
        raise ValueError(f'{path}: imagePath is missing; the image must be a file of its own')
    if not isinstance(content['shapes'], list) or not isinstance(content.get('imagePath'), str):
        raise ValueError(f"{path}: must be LabelMe's JSON, with the list shapes and the text imagePath")
    return content


def _image(file: Path, content: dict[str, Any], root: Path, by_name: ImagesByName, problems: Problems) -> SourceImage:
    path = file.parent / content['imagePath'].replace('\\', '/')
    if not path.is_file():  # annotated in another folder, or moved
        beside = file.parent / path.name
        path = beside if beside.is_file() else by_name(path.name) or path
    sides = [content.get(f'image{side}') for side in ('Height', 'Width')]
    told = (int(sides[0]), int(sides[1])) if all(map(_is_side, sides)) else None
    read = partial(_objects, file, content['shapes'], problems=problems)
    return SourceImage(path, file, read, told, split_of_path(file, root))


def _is_side(value: Any) -> bool:
    return isinstance(value, (int, float)) and 1 <= value < 2**31


def _order(root: Path) -> list[str] | None:
    path = root / 'labels.txt'
    if not path.is_file():
        return None
    names = [line.strip() for line in read_text(path).split('\n')]
    return [name for name in names if name and name not in ('__ignore__', '_background_')]


def _objects(file: Path, shapes: list[Any], size: Size, problems: Problems) -> list[SourceObject]:
    found: list[SourceObject] = []
    groups: dict[tuple[str, Any], SourceObject] = {}
    for number, shape in enumerate(shapes):
        entry = f'shape {number}'
        with problems.guard('unreadable-annotation', str(file), entry):
            one = _object(file, shape, size, entry, problems)
            if one is None or one.name in ('__ignore__', '_background_'):
                continue
            group = shape.get('group_id')
            other = None if not isinstance(group, (int, str)) else groups.setdefault((one.name, group), one)
            if other is None or other is one:
                found.append(one)
            else:
                _join(other, one)
    return found


def _object(file: Path, shape: Any, size: Size, entry: str, problems: Problems) -> SourceObject | None:
    where = f'{file}: {entry}'
    name = shape.get('label') if isinstance(shape, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f'{where}: label must be a name, got {shortened(name)}')
    name, kind = name.strip(), shape.get('shape_type') or 'polygon'
    if kind not in _WITH_AREA:
        problems.warn('box', f'{where}: a {kind} has no area and is left out', str(file), entry)
        return None
    points = _points(shape.get('points'), where, least=3 if kind == 'polygon' else 2)
    if kind == 'circle':
        (x, y), (edge_x, edge_y) = points[:2]
        radius = float(np.hypot(edge_x - x, edge_y - y))
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        points = [(x + radius * float(np.cos(angle)), y + radius * float(np.sin(angle))) for angle in angles]
        box = (x - radius, y - radius, x + radius, y + radius)
        return SourceObject(name, box, entry, [[value for point in points for value in point]])
    box = box_around(points)
    if kind == 'rectangle':
        return SourceObject(name, box, entry)
    if kind == 'polygon':
        return SourceObject(name, box, entry, [[value for point in points for value in point]])
    box = (box[0], box[1], box[2] + 1, box[3] + 1)  # its corners are pixels, both in it
    return SourceObject(name, box, entry, mask=_mask(shape.get('mask'), box, size, where))


def _points(points: Any, where: str, least: int) -> list[tuple[float, float]]:
    try:
        found = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError, OverflowError):
        found = []
    if len(found) < least or not np.isfinite(found).all():
        raise ValueError(f'{where}: points must be at least {least} finite pairs x, y, got {shortened(points)}')
    return found


def _mask(text: Any, box: Sequence[float], size: Size, where: str) -> dict[str, Any]:
    """A mask that is drawn in its box, as run lengths of the image."""
    x1, y1, x2, y2 = (round(value) for value in box)
    try:
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            mask = np.array(image.convert('L')) > 0
    except Exception as error:  # Pillow's readers fail in many ways on broken files
        raise ValueError(f'{where}: mask cannot be read ({error})') from error
    if mask.shape != (y2 - y1, x2 - x1) or min(x1, y1) < 0 or x2 > size[1] or y2 > size[0]:
        raise ValueError(f'{where}: mask of {mask.shape[0]} x {mask.shape[1]} (height x width) does not fit its points')
    return encode_mask(mask, size, (x1, y1))


def _join(whole: SourceObject, part: SourceObject) -> None:
    """Make a shape a further part of an object."""
    first, second = whole.box, part.box
    whole.box = (
        min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3]),
    )  # fmt: skip
    outlines = whole.polygons and part.polygons
    whole.polygons = [*whole.polygons, *part.polygons] if outlines else None
    whole.mask = None
