"""COCO's annotation files, checked. Needs none of the mm* packages."""

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from bana_mm.datasets.metainfo import is_background
from bana_mm.utils.json_stream import JSONReader
from bana_mm.utils.problems import STOP, Problems
from bana_mm.utils.safe_id import safe_path
from bana_mm.utils.shortened import is_finite, shortened

FLAGS = ('iscrowd', 'ignore')
REQUIRED = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox'),
    categories=('id', 'name'),
)


def read_coco(path: str | Path, with_masks: bool = True, problems: Problems = STOP) -> dict[str, Any]:
    """Read a file of instances in COCO's format.

    Ids may be any whole numbers in any order, with gaps. ``iscrowd``, ``ignore``, ``area`` and ``segmentation`` may be
    missing or null.

    Args:
        path (str | Path): The JSON file.
        with_masks (bool): Whether to keep the fields ``segmentation`` and ``unreliable``. Without them the memory for
            COCO's training set is a third: polygons go as soon as they are read. Defaults to True.
        problems (Problems): What is told of bad entries, which are left out then. Defaults to what stops at the first.

    Returns:
        dict: What the file holds, with ``images``, ``annotations`` and ``categories``.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such file, lacks a field, has an id twice, or an annotation names an image or a category
            that the file does not hold. The message names the file, the entry and the field.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: annotation file does not exist; it must be COCO's JSON of instances")
    try:
        content = _read_fields(path, _shared_names if with_masks else _without_masks)
    except (ValueError, RecursionError) as error:
        hint = '; save as UTF-8' if isinstance(error, UnicodeDecodeError) else ''
        raise ValueError(f'{path}: not valid JSON ({error}){hint}') from error
    for key in REQUIRED:
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(
                f"{path}: must be COCO's JSON of instances, an object with the lists "
                f'{", ".join(REQUIRED)}, but {key} is {"missing" if entries is None else "no list"}'
            )
    known = {key: {entry['id'] for entry in content[key] if _has_id(entry)} for key in ('images', 'categories')}
    for key, fields in REQUIRED.items():
        content[key] = _checked_entries(path, key, content[key], fields, problems)
    _check_references(path, content, known, problems)
    return content


def box_of(annotation: Mapping[str, Any], width: int, height: int) -> list[float] | None:
    """The box of an annotation inside its image.

    Args:
        annotation (Mapping): With ``bbox``: x, y, width and height in pixels, 0-based.
        width (int): Width of the image in pixels.
        height (int): Its height.

    Returns:
        list[float] | None: xyxy in pixel edges, clipped to the image; None where nothing is left of it.
    """
    x, y, w, h = annotation['bbox']
    box = [max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))]
    return box if box[0] < box[2] and box[1] < box[3] else None


def is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation is a crowd or marked to be ignored."""
    return bool(annotation.get('iscrowd') or annotation.get('ignore'))


def _read_fields(path: Path, object_hook: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """What a JSON file holds, without its text in memory beside it."""
    try:
        with JSONReader(path, object_hook=object_hook) as reader:
            return {name: list(reader.elements()) if reader.is_array() else reader.value() for name in reader.names()}
    except ValueError:
        with open(path, encoding='utf-8-sig') as file:
            return json.load(file)  # says in which line it is broken, or reads what is no object


def _shared_names(entry: dict[str, Any]) -> dict[str, Any]:
    """The same entry; names of fields, which come anew with each entry, are in memory once."""
    return {sys.intern(name): value for name, value in entry.items()}


def _without_masks(entry: dict[str, Any]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in entry.items() if name not in ('segmentation', 'unreliable')}


def _checked_entries(
    path: Path, key: str, entries: Iterable[Any], fields: tuple[str, ...], problems: Problems
) -> list[dict[str, Any]]:
    """The entries of a list without the bad ones."""
    good: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        problem = _entry_problem(entry, fields)
        if problem is None and entry['id'] in good:
            problem = f': id {entry["id"]} is there twice; ids must be unique'
        if problem is None:
            good[entry['id']] = entry
        else:
            error = ValueError(f'{path}: {key}[{number}]{problem}')
            problems.error('unreadable-annotation', error, str(path), f'{key}[{number}]')
    return list(good.values())


def _entry_problem(entry: Any, fields: tuple[str, ...]) -> str | None:
    """What is wrong with an entry, as it goes on behind the entry's place."""
    if not isinstance(entry, dict):
        return f' must be an object, got {shortened(entry)}'
    for field in fields:
        value = entry.get(field)
        if value is None:
            return f' (id {shortened(entry.get("id"))}): {field} is missing'
        if not _is_valid(field, value):
            return f' (id {shortened(entry["id"])}): {field} must be {_EXPECTED[field]}, got {shortened(value)}'
    for field in FLAGS:
        if entry.get(field) not in (None, 0, 1):
            return f' (id {entry["id"]}): {field} must be 0 or 1, got {shortened(entry[field])}'
    return None


def _has_id(entry: Any) -> bool:
    return isinstance(entry, dict) and _is_valid('id', entry.get('id'))


_EXPECTED = dict(
    dict.fromkeys(('id', 'image_id', 'category_id'), 'a whole number'),
    file_name='the path of a file below the folder of the images',
    name='a text',
    **dict.fromkeys(('height', 'width'), 'a whole number of pixels'),
    bbox='the four finite numbers x, y, width and height',
)


def _is_valid(field: str, value: Any) -> bool:
    if field == 'bbox':
        return isinstance(value, list) and len(value) == 4 and all(map(is_finite, value))
    if field == 'name':
        return isinstance(value, str) and value != ''
    if field == 'file_name':
        return isinstance(value, str) and _stays_below(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return whole and (0 < value < 2**31 or field not in ('height', 'width'))


def _stays_below(file_name: str) -> bool:
    try:
        return bool(safe_path(file_name))
    except ValueError:
        return False


def _check_references(path: Path, content: dict[str, Any], known: Mapping[str, set[int]], problems: Problems) -> None:
    """Leave out annotations of images and categories that are not there, or were left out."""
    there = {key: {entry['id'] for entry in content[key]} for key in known}
    good = []
    for number, annotation in enumerate(content['annotations']):
        wrong = [
            (field, key)
            for field, key in (('image_id', 'images'), ('category_id', 'categories'))
            if annotation[field] not in there[key]
        ]
        if not wrong:
            good.append(annotation)
            continue
        field, key = wrong[0]
        if annotation[field] not in known[key]:
            error = ValueError(
                f'{path}: annotations[{number}] (id {annotation["id"]}): {field} {annotation[field]} is not among the '
                f'{key}'
            )
            kind = 'unknown-class' if key == 'categories' else 'unreadable-annotation'
            problems.error(kind, error, str(path), f'annotations[{number}]')
    content['annotations'] = good


def object_names(content: Mapping[str, Any], used: Collection[int]) -> list[str]:
    """Names of the categories that are classes, in the order of the file.

    A category without annotations is none where it is the background, which some programs list, or the group of all
    others (their ``supercategory``), which Roboflow puts first.

    Args:
        content (Mapping): What a file holds, see :func:`read_coco`.
        used (Collection[int]): Ids of the categories that annotations have.
    """
    groups = {}
    for one in content['categories']:
        others = [other for other in content['categories'] if other is not one]
        groups[one['id']] = bool(others) and all(other.get('supercategory') == one['name'] for other in others)
    return [
        one['name']
        for one in content['categories']
        if one['id'] in used or not (is_background(one['name']) or groups[one['id']])
    ]


def image_folder(file: str | Path, content: Mapping[str, Any], root: str | Path | None = None) -> Path | None:
    """The folder that most of the first images of a file are in, of those where programs put them.

    Args:
        file (str | Path): COCO's JSON.
        content (Mapping): What it holds.
        root (str | Path | None): Folder of the data set. Defaults to None, the one above the file's.

    Returns:
        Path | None: None where no folder has one of these images.
    """
    file, names = Path(file), [image['file_name'] for image in content['images'][:20]]
    above = file.absolute().parent.parent if root is None else file.parent.parent
    root = above if root is None else Path(root)
    stem = file.stem.removeprefix('instances_')
    likely = [root / 'images' / stem, root / stem, root / 'images', root, file.parent, above / stem]
    likely += [above / 'images', file.parent / 'images']
    counts = [sum((folder / name).is_file() for name in names) for folder in likely]
    return likely[counts.index(max(counts))] if any(counts) else None
