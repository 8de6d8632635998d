"""What the readers of foreign formats give: images with objects, wherever and however they were annotated."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bana_mm.structures import RunLengths

Size = tuple[int, int]
SPLITS = ('train', 'val', 'test')
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
OUT_FOLDER = 'bana_mm'  # in a data set, what was written here
# How parts of data are called in the names of files, folders and fields.
_SPLIT = re.compile(r'(?<![a-z])(train|val|test)(?:ing|id|idation)?(?![a-z])')


@dataclass
class SourceObject:
    """An object as its file has it.

    Args:
        name (str): Its class.
        box (tuple[float, float, float, float]): xyxy in pixel edges, 0-based and half-open; maybe over the image's
            edge, flipped or empty.
        entry (str): Where it is in the file, as 'line 3'.
        polygons (Sequence[list[float]] | None): Outlines of its parts, x, y, x, y, ... in pixel edges. Defaults to
            None, none drawn.
        mask (RunLengths | None): Its mask, where that was not drawn as outlines. Defaults to None.
    """

    name: str
    box: tuple[float, float, float, float]
    entry: str
    polygons: Sequence[list[float]] | None = None
    mask: RunLengths | None = None


@dataclass
class SourceImage:
    """An image and how its objects are read.

    Args:
        path (Path): The image, which may be missing.
        file (Path): Its annotation file.
        read (Callable): From height and width of the image to its objects. What is wrong with one of them is told to
            the problems that the format was read with; what is wrong with the file raises ValueError.
        told (tuple[int, int] | None): Height and width in the annotation file. Defaults to None, not said there.
        split (str | None): One of :data:`SPLITS`. Defaults to None, not said.
    """

    path: Path
    file: Path
    read: Callable[[Size], list[SourceObject]]
    told: Size | None = None
    split: str | None = None


@dataclass
class Source:
    """A data set in a foreign format.

    Args:
        images (list[SourceImage]): Its images.
        classes (list[str] | None): Its classes in order. Defaults to None, those of the objects, sorted.
        remarks (list[str]): What somebody should know of it. Defaults to none.
    """

    images: list[SourceImage]
    classes: list[str] | None = None
    remarks: Sequence[str] = ()


def split_of(name: str | None) -> str | None:
    """The part of the data that a name speaks of: 'train' of ``instances_train2017``, 'val' of ``Validation``."""
    found = _SPLIT.search((name or '').lower())
    return found.group(1) if found else None


def split_of_path(path: Path, root: Path) -> str | None:
    """The part of the data that the folders between root and a file speak of; the outermost counts."""
    try:
        folders = path.relative_to(root).parts[:-1]
    except ValueError:
        return None
    return next((split for split in map(split_of, folders) if split), None)


def find_images(folder: Path) -> list[Path]:
    """All images below a folder, sorted; hidden ones are left out."""
    return sorted(path for path in walk(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


class ImagesByName:
    """Finds the image of an annotation that lies somewhere else than the annotation says.

    Args:
        root (Path): Folder to look in; only once, and not before it is asked for an image.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: dict[str, list[Path]] | None = None

    def __call__(self, name: str) -> Path | None:
        """The only image below the root that has a file name; None if there is none or there are several."""
        if self._found is None:
            self._found = {}
            for path in find_images(self.root):
                self._found.setdefault(path.name, []).append(path)
        found = self._found.get(name, [])
        return found[0] if len(found) == 1 else None


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones, those in hidden folders, and what was written here."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith('.') or path.name in ('__MACOSX', OUT_FOLDER):
            continue
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


def box_around(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """The smallest box around points, xyxy."""
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)
