"""Which format a data set is in, by its files."""

from pathlib import Path

from .coco import find_coco
from .cvat import find_xml
from .labelme import read_file
from .pascal_voc import find_voc
from .source import find_images, walk
from .yolo import find_settings, label_path

FORMATS = ('voc', 'coco', 'yolo', 'labelme', 'cvat')
_LOOKED_AT = 50  # JSON files
_COUNTED = 1000


def detect_format(root: Path) -> str:
    """The format of a data set.

    Args:
        root (Path): Its folder, or COCO's JSON.

    Returns:
        str: One of ``FORMATS``.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has none of the formats, or several.
    """
    if not root.exists():
        raise FileNotFoundError(f'{root}: the folder of the data does not exist')
    if root.is_file() and root.suffix.lower() != '.json':
        raise ValueError(f"{root}: is a file; name its folder, {root.parent} (only COCO's JSON is named itself)")
    found = [name for name in FORMATS if _LOOKS_LIKE[name](root)]
    if len(found) == 1:
        return found[0]
    if not found:
        known = "VOC's XML, COCO's JSON, YOLO's text files, LabelMe's JSON or CVAT's annotations.xml"
        images = sum(1 for _ in zip(find_images(root), range(_COUNTED)))
        there = f'only images ({images}{" or more" if images == _COUNTED else ""})' if images else 'no images either'
        raise ValueError(
            f'{root}: holds no annotations that are known ({known}), and {there}; name the folder that holds both '
            'images and annotations'
        )
    raise ValueError(
        f'{root}: holds annotations in several formats, {", ".join(found)}; name the folder of one data set, or choose '
        f'one (--format {found[0]})'
    )


def _is_yolo(root: Path) -> bool:
    if not root.is_dir():
        return False
    return find_settings(root) is not None or any(
        path.suffix == '.txt' and _beside_image(path, root) for path in walk(root)
    )


def _beside_image(path: Path, root: Path) -> bool:
    """Whether a text file is that of an image, by where that would be."""
    parts = path.parts
    folders = [path.parent]
    if 'labels' in parts[len(root.parts) :]:
        index = len(parts) - 1 - parts[::-1].index('labels')
        folders += [Path(*parts[:index], 'images', *parts[index + 1 : -1]), Path(*parts[:index])]
    return any(
        label_path(folder / f'{path.stem}{suffix}', root) == path
        for folder in folders
        for suffix in ('.jpg', '.jpeg', '.png')
        if (folder / f'{path.stem}{suffix}').is_file()
    )


def _is_labelme(root: Path) -> bool:
    files = (path for path in walk(root) if path.suffix.lower() == '.json') if root.is_dir() else ()
    for path, _ in zip(files, range(_LOOKED_AT)):
        try:
            if read_file(path) is not None:
                return True
        except ValueError:
            continue
    return False


_LOOKS_LIKE = dict(
    voc=lambda root: root.is_dir() and find_voc(root) is not None,
    coco=lambda root: bool(find_coco(root)),
    yolo=_is_yolo,
    labelme=_is_labelme,
    cvat=lambda root: root.is_dir() and find_xml(root) is not None,
)
