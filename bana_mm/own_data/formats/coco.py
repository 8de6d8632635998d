"""Files in COCO's format, which are read as they are: which belong to the data, and where their images are."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bana_mm.datasets.coco_files import image_folder, read_coco
from bana_mm.utils.problems import ProblemList
from bana_mm.utils.text_file import read_text

from .source import split_of, walk

_OTHERS = ('captions', 'person_keypoints', 'panoptic', 'image_info', 'stuff')
_ENTRIES = ('"images"', '"annotations"', '"categories"')
_HEAD = 1 << 16


@dataclass
class COCOPart:
    """A file of a data set and its images.

    Args:
        file (Path): COCO's JSON.
        images (Path): Folder that its ``file_name`` are below.
        split (str | None): What part of the data it is by its name; None where that does not say.
        content (dict): What it holds, without bad entries.
    """

    file: Path
    images: Path
    split: str | None
    content: dict[str, Any]


def find_coco(root: Path) -> list[Path]:
    """The JSON files of a data set in COCO's format, sorted; none for other data."""
    if root.is_file():
        return [root]
    found = [path for path in walk(root) if path.suffix.lower() == '.json' and len(path.relative_to(root).parts) <= 3]
    return [path for path in found if not path.name.startswith(_OTHERS) and _is_coco(path)]


def read_parts(files: list[Path], root: Path) -> list[COCOPart]:
    """Read files of a data set.

    Args:
        files (list[Path]): COCO's JSON.
        root (Path): Folder of the data set, in which the images are looked for.

    Raises:
        ValueError: If one is not in COCO's format, or two are of one part of the data.
    """
    parts = []
    for file in files:
        content = read_coco(file, problems=ProblemList())  # bad entries are told when the data set is read
        split = split_of(file.stem) or split_of(file.parent.name)
        parts.append(COCOPart(file, _images(file, root, content), split, content))
    names = [part.split for part in parts]
    if len(parts) > 1 and (None in names or len(set(names)) < len(names)):
        told = ', '.join(f'{part.file} ({part.split or "of no part"})' for part in parts)
        raise ValueError(
            f'{root}: of several files of boxes their names must say which is train, val and test; found {told}. Name '
            'the file to take in place of the folder'
        )
    return parts


def _images(file: Path, root: Path, content: dict[str, Any]) -> Path:
    """Where the images are; the data set's root if they are nowhere."""
    folder = image_folder(file, content, root)
    if folder is None and content['images']:
        name = PurePosixPath(content['images'][0]['file_name'])
        for path in walk(root):  # anywhere else
            if path.name == name.name and path.as_posix().endswith(name.as_posix()):
                return path.parents[len(name.parts) - 1]
    return root if folder is None else folder


def _is_coco(path: Path) -> bool:
    """Whether a JSON file may be COCO's, by its beginning, or by all of it where that is small."""
    if path.stat().st_size > 32 * _HEAD:
        with open(path, 'rb') as file:
            head = file.read(_HEAD).decode('utf-8', 'replace')
        return '"shapes"' not in head
    try:
        text = read_text(path)
    except ValueError:
        return False
    return all(entry in text for entry in _ENTRIES) and '"shapes"' not in text
