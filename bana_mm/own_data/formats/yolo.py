"""YOLO: a text file for each image, with lines CLASS CX CY WIDTH HEIGHT in shares of the image.

A line may also be an outline, CLASS X Y X Y ..., as for YOLO's instance segmentation. Images without a text file are
background, as Ultralytics takes them.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bana_mm.utils.problems import Problems
from bana_mm.utils.text_file import read_text

from .source import SPLITS, Size, Source, SourceImage, SourceObject, box_around, find_images, split_of_path, walk

_NO_LABELS = ('classes.txt', 'obj.names', 'labels.txt', 'requirements.txt')


def read_yolo(root: Path, problems: Problems, classes: Sequence[str] | None = None) -> Source:
    """Read a data set of YOLO's.

    Args:
        root (Path): Its folder, with ``data.yaml`` (``names``; ``train``, ``val`` and ``test``, folders or lists of
            images), or with images and text files in any folders and ``classes.txt``.
        problems (Problems): What is told of bad lines, and of text files without an image.
        classes (Sequence[str] | None): Names of the classes 0, 1, ... Defaults to None, those of the files.

    Returns:
        Source: Boxes are shares of the image, of its size as viewers show it, times that size.

    Raises:
        FileNotFoundError: If a folder or list of images is missing, or the names of the classes are.
        ValueError: If ``data.yaml`` is not as it must be.
    """
    file, settings = _read_settings(root)
    names = list(classes) if classes is not None else _names(root, file, settings)
    keypoints = 'kpt_shape' in settings
    by_split = {split: _listed(file, settings, split) for split in SPLITS if settings.get(split)}
    if not by_split:
        images = find_images(root)
        by_split = {None: images}
    found, with_file = [], set()
    for split, paths in by_split.items():
        for path in paths:
            label = label_path(path, root)
            with_file.add(label.resolve())
            read = partial(read_label_file, label, names, keypoints=keypoints, problems=problems)
            part = split if split is not None else split_of_path(path, root)
            found.append(SourceImage(path, label, read, split=part))
    _tell_of_orphans(root, found, with_file, problems)
    return Source(found, names)


def read_label_file(
    path: Path, names: Sequence[str], size: Size, keypoints: bool = False, *, problems: Problems
) -> list[SourceObject]:
    """The objects of an image.

    Args:
        path (Path): Its text file; without one there are no objects.
        names (Sequence[str]): Names of the classes 0, 1, ...
        size (tuple[int, int]): Height and width of the image in pixels.
        keypoints (bool): Whether boxes are followed by keypoints, which are left out. Defaults to False.
        problems (Problems): What is told of bad lines.
    """
    if not path.is_file():
        problems.warn('missing-annotation', f'{path}: does not exist; the image is taken as background', str(path))
        return []
    objects = []
    for number, line in enumerate(read_text(path).split('\n'), 1):
        if not line.strip():
            continue
        entry = f'line {number}'
        values = _numbers(line)
        if values is None or not _has_layout(values, keypoints):
            error = ValueError(
                f'{path}: {entry} must hold a class and the finite numbers cx, cy, width and height, or x and y of at '
                f'least three points, got {line.strip()[:80]!r}'
            )
            problems.error('unreadable-annotation', error, str(path), entry)
        elif values[0] not in range(len(names)):
            error = ValueError(f'{path}: {entry} has the class {values[0]:g}, but names has 0..{len(names) - 1}')
            problems.error('unknown-class', error, str(path), entry)
        else:
            objects.append(_object(names[int(values[0])], values[1:5] if keypoints else values[1:], size, entry))
    return objects


def label_path(image: Path, root: Path) -> Path:
    """The text file of an image: ``labels`` in place of the last folder ``images``, or beside the image."""
    parts = image.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() == 'images' and len(Path(*parts[:index]).parts) >= len(root.parts):
            return Path(*parts[:index], 'labels', *parts[index + 1 :]).with_suffix('.txt')
    beside = image.with_suffix('.txt')
    below = root / 'labels' / beside.name
    return below if below.is_file() and not beside.is_file() else beside


def find_settings(root: Path) -> Path | None:
    """The YAML file of a data set: the one with ``names``."""
    for path in sorted([*root.glob('*.yaml'), *root.glob('*.yml')]):
        try:
            if 'names' in (yaml.safe_load(read_text(path)) or {}):
                return path
        except (ValueError, TypeError, yaml.YAMLError):
            continue
    return None


def _read_settings(root: Path) -> tuple[Path, dict[str, Any]]:
    file = find_settings(root)
    if file is None:
        return root / 'data.yaml', {}
    settings = yaml.safe_load(read_text(file))
    return file, settings if isinstance(settings, dict) else {}


def _names(root: Path, file: Path, settings: dict[str, Any]) -> list[str]:
    names = settings.get('names')
    if names is None:
        for path in (*root.glob('*.names'), root / 'classes.txt', root / 'labels/classes.txt'):
            if path.is_file():
                return [line.strip() for line in read_text(path).split('\n') if line.strip()]
        raise FileNotFoundError(
            f'{file}: does not exist, and neither does classes.txt: the names of the classes are nowhere; give them in '
            'the order of their numbers (--classes NAME NAME ...)'
        )
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise ValueError(f'{file}: names must have the numbers 0..{len(names) - 1}, got {sorted(names)}')
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f'{file}: names must be a list of names, or a dict of them by number')
    return [str(name) for name in names]


def _listed(file: Path, settings: dict[str, Any], split: str) -> list[Path]:
    """The images of a part of the data."""
    given = settings[split]
    found: list[Path] = []
    for entry in given if isinstance(given, list) else [given]:
        path = _resolve(file, settings, str(entry))
        if path.is_dir():
            found += find_images(path)
            continue
        for line in read_text(path).split('\n'):
            if line.strip():
                below = line.strip().removeprefix('./')
                beside = path.parent / below
                found.append(beside if beside.is_file() or path.parent == file.parent else file.parent / below)
    return list(dict.fromkeys(found))


def _resolve(file: Path, settings: dict[str, Any], entry: str) -> Path:
    """A folder or list that the YAML names; many files name it as it lay on another machine."""
    root = str(settings.get('path') or '.')
    inside = [part for part in Path(entry).parts if part not in ('..', '.', '/')]
    candidates = [file.parent / root / entry, file.parent / entry, file.parent.joinpath(*inside)]
    for path in candidates:
        if path.exists():
            return path
    tried = ', '.join(dict.fromkeys(map(str, candidates)))
    raise FileNotFoundError(f'{file}: {entry!r} does not exist (looked for {tried})')


def _tell_of_orphans(root: Path, images: list[SourceImage], with_file: set[Path], problems: Problems) -> None:
    """Text files that belong to no image."""
    folders = {image.file.parent.resolve() for image in images}
    for folder in [root / 'labels', *root.glob('*/labels')]:
        if folder.is_dir():
            folders |= {path.parent.resolve() for path in walk(folder)}
    for folder in sorted(folders):
        for path in sorted(folder.glob('*.txt')) if folder.is_dir() else ():
            if path.resolve() in with_file or path.name in _NO_LABELS or not _is_label_file(path):
                continue
            error = FileNotFoundError(f'{path}: there is no image of that name')
            problems.error('missing-image', error, str(path))


def _is_label_file(path: Path) -> bool:
    """Whether a text file may be one of YOLO's, by its first line."""
    try:
        lines = [line for line in read_text(path).split('\n') if line.strip()]
    except ValueError:
        return False
    values = _numbers(lines[0]) if lines else None
    return not lines or (values is not None and len(values) >= 5)


def _numbers(line: str) -> list[float] | None:
    try:
        values = [float(text) for text in line.split()]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def _has_layout(values: list[float], keypoints: bool) -> bool:
    if keypoints:
        return len(values) >= 5
    return len(values) == 5 or (len(values) >= 7 and len(values) % 2 == 1)


def _object(name: str, values: list[float], size: Size, entry: str) -> SourceObject:
    height, width = size
    if len(values) == 4:
        cx, cy, w, h = values
        box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
        return SourceObject(name, box, entry)
    points = [(x * width, y * height) for x, y in zip(values[0::2], values[1::2])]
    return SourceObject(name, box_around(points), entry, [[value for point in points for value in point]])
