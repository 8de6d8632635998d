"""CVAT: one XML, "CVAT for images 1.1", for all images."""

import math
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import numpy as np

from bana_mm.structures import encode_mask
from bana_mm.utils.problems import Problems
from bana_mm.utils.xml_file import read_xml

from .source import ImagesByName, Size, Source, SourceImage, SourceObject, box_around, split_of, walk

_WITHOUT_AREA = ('polyline', 'points', 'cuboid', 'skeleton')


def read_cvat(root: Path, problems: Problems) -> Source:
    """Read an export of CVAT's.

    Args:
        root (Path): A folder with ``annotations.xml``, and the images anywhere in it.
        problems (Problems): What is told of bad shapes.

    Returns:
        Source: Boxes (turned ones as the box around them), polygons, ellipses and masks have a box, with both edges
        in pixels from the upper left corner of the image. Classes are those of the task, in its order. ``subset`` of
        an image says what part of the data it is.

    Raises:
        FileNotFoundError: If there is no such XML.
        ValueError: If it is another one, such as CVAT's for videos.
    """
    file = find_xml(root)
    if file is None:
        raise FileNotFoundError(f"{root}: holds no annotations.xml of CVAT's")
    tree = read_xml(file)
    if tree.find('track') is not None and tree.find('image') is None:
        raise ValueError(f'{file}: is of a video; export the task as "CVAT for images 1.1", with images')
    classes = list(dict.fromkeys((node.findtext('name') or '').strip() for node in tree.iter('label')))
    known = frozenset(classes)
    on_disk = _Images(file.parent)
    images = []
    for number, node in enumerate(tree.findall('image')):
        name = node.get('name', '').replace('\\', '/')
        where = f'image {node.get("id", number)}'
        with problems.guard('unreadable-annotation', str(file), where):
            if not name:
                raise ValueError(f'{file}: {where}: name is missing')
            told = (_side(node, 'height'), _side(node, 'width'))
            read = partial(_objects, file, node, where, known, problems=problems)
            split = split_of(node.get('subset'))
            images.append(
                SourceImage(on_disk.path(name, node.get('subset')), file, read, told if all(told) else None, split)
            )
    return Source(images, [name for name in classes if name] or None)


def find_xml(root: Path) -> Path | None:
    """The XML of an export: one whose outer element is ``annotations``."""
    for path in [root / 'annotations.xml', *(path for path in walk(root) if path.suffix.lower() == '.xml')]:
        if path.is_file():
            with open(path, 'rb') as file:
                if b'<annotations' in file.read(4096):
                    return path
    return None


class _Images:
    """Finds images, which exports have in ``images``, in folders of their subset, or nowhere in particular."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.by_name = ImagesByName(root)

    def path(self, name: str, subset: str | None) -> Path:
        folders = [self.root / 'images', self.root]
        if subset:
            folders = [self.root / 'images' / subset, self.root / subset, *folders]
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        return self.by_name(Path(name).name) or self.root / 'images' / name


def _side(node: ET.Element, key: str) -> int:
    text = node.get(key, '')
    return int(text) if text.isdigit() else 0


def _objects(
    file: Path, image: ET.Element, where: str, classes: frozenset[str], size: Size, problems: Problems
) -> list[SourceObject]:
    objects = []
    shapes = [node for node in image if node.tag not in ('tag', 'attribute')]
    for number, node in enumerate(shapes):
        entry = f'{where}, {node.tag} {number}'
        name = node.get('label', '').strip()
        if node.tag in _WITHOUT_AREA:
            problems.warn('box', f'{file}: {entry}: a {node.tag} is no box and is left out', str(file), entry)
            continue
        if not name or (classes and name not in classes):
            error = ValueError(
                f'{file}: {entry} has the unknown class {name!r}; the task has {", ".join(sorted(classes))}'
            )
            problems.error('unknown-class', error, str(file), entry)
            continue
        with problems.guard('unreadable-annotation', str(file), entry):
            try:
                objects.append(_object(node, name, size, entry))
            except (KeyError, ValueError) as error:
                raise ValueError(f'{file}: {entry}: {error}') from error
    return objects


def _object(node: ET.Element, name: str, size: Size, entry: str) -> SourceObject:
    if node.tag == 'box':
        x1, y1, x2, y2 = _floats(node, 'xtl', 'ytl', 'xbr', 'ybr')
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        if not float(node.get('rotation', 0)) % 360:
            return SourceObject(name, (x1, y1, x2, y2), entry)  # flipped ones stay so
        return SourceObject(name, box_around(_turned(corners, node)), entry)
    if node.tag == 'polygon':
        points = _points(node)
        return SourceObject(name, box_around(points), entry, [[value for point in points for value in point]])
    if node.tag == 'ellipse':
        cx, cy, rx, ry = _floats(node, 'cx', 'cy', 'rx', 'ry')
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        round_it = [(cx + rx * float(np.cos(angle)), cy + ry * float(np.sin(angle))) for angle in angles]
        points = _turned(round_it, node)
        turn = math.radians(float(node.get('rotation', 0)))
        half_width, half_height = (
            math.hypot(rx * a, ry * b) for a, b in ((math.cos(turn), math.sin(turn)), (math.sin(turn), math.cos(turn)))
        )
        box = (cx - half_width, cy - half_height, cx + half_width, cy + half_height)
        return SourceObject(name, box, entry, [[value for point in points for value in point]])
    if node.tag == 'mask':
        left, top, width, height = (int(value) for value in _floats(node, 'left', 'top', 'width', 'height'))
        box = (float(left), float(top), float(left + width), float(top + height))
        return SourceObject(name, box, entry, mask=_mask(node, size, left, top, width, height))
    raise ValueError('is no shape that CVAT for images 1.1 has')


def _floats(node: ET.Element, *keys: str) -> list[float]:
    values = []
    for key in keys:
        text = node.get(key)
        try:
            values.append(float(text))
        except (TypeError, ValueError):
            raise ValueError(f'{key} must be a number, got {text!r}') from None
        if not math.isfinite(values[-1]):
            raise ValueError(f'{key} is not finite')
    return values


def _points(node: ET.Element) -> list[tuple[float, float]]:
    text = node.get('points', '')
    try:
        points = [(float(x), float(y)) for x, y in (pair.split(',') for pair in text.split(';'))]
    except ValueError:
        points = []
    if len(points) < 3 or not np.isfinite(points).all():
        raise ValueError(f'points must be at least three pairs "x,y;x,y;...", got {text[:80]!r}')
    return points


def _turned(points: list[tuple[float, float]], node: ET.Element) -> list[tuple[float, float]]:
    """Points turned about the middle of their box by ``rotation``, degrees clockwise."""
    x1, y1, x2, y2 = box_around(points)
    cx, cy, angle = (x1 + x2) / 2, (y1 + y2) / 2, math.radians(float(node.get('rotation', 0)))
    cos, sin = math.cos(angle), math.sin(angle)
    return [(cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos) for x, y in points]


def _mask(node: ET.Element, size: Size, left: int, top: int, width: int, height: int) -> dict:
    """A mask as run lengths of the image; CVAT's run along the rows of its box."""
    try:
        runs = [int(text) for text in node.get('rle', '').split(',')]
    except ValueError:
        raise ValueError('rle must be whole numbers with commas between them') from None
    inside = 0 <= left < left + width <= size[1] and 0 <= top < top + height <= size[0]
    if not inside or min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(
            f'rle does not fill its {height} x {width} pixels (height x width), or these are not in the image'
        )
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return encode_mask(mask, size, (left, top))
