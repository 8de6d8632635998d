"""PASCAL VOC's XML: the layout that ``VOCBoxDataset`` reads as it is, and others, which become COCO's JSON."""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bana_mm.datasets.voc_files import read_voc_xml
from bana_mm.utils.problems import Problems

from .source import IMAGE_SUFFIXES, Size, Source, SourceImage, SourceObject, find_images, split_of_path, walk

_LOOKED_AT = 50  # XML
MASK_FOLDERS = ('SegmentationClassAug', 'SegmentationClass', 'masks')


@dataclass
class VOCLayout:
    """Where a data set in VOC's format has its files.

    Args:
        root (Path): Its root.
        images (str): Folder of the images below the root.
        boxes (str): Folder of the XML.
        suffix (str | None): Of the images; None where they have several.
        ids (list[str]): Images that have an XML, or an XML without an image, sorted.
        masks (str | None): Folder of the masks. Defaults to None, none.
        without_xml (list[str]): Images that have no XML. Defaults to none.
        with_image (int): How many of the ids have an image. Defaults to 0.
    """

    root: Path
    images: str
    boxes: str
    suffix: str | None
    ids: list[str]
    masks: str | None = None
    without_xml: list[str] = field(default_factory=list)
    with_image: int = 0


def find_voc(root: Path) -> VOCLayout | None:
    """The layout of a data set in VOC's format, None for others.

    Args:
        root (Path): ``VOCdevkit/VOC2012`` or a folder around it, or one with images and XML in folders of any name, or
            both in one.
    """
    for folder in (root, *sorted(root.glob('VOC*')), *sorted(root.glob('VOCdevkit/VOC*'))):
        for boxes in ('Annotations', 'annotations', 'labels', ''):
            if (folder / boxes).is_dir() and _has_voc_xml(folder / boxes):
                return _layout(folder, boxes)
    return None


def read_odd_voc(layout: VOCLayout, problems: Problems) -> Source:
    """A data set whose images have several suffixes, which the data set of VOC's layout does not read.

    Args:
        layout (VOCLayout): Its files.
        problems (Problems): What is told of bad objects.
    """
    images = {
        path.relative_to(layout.root / layout.images).with_suffix('').as_posix(): path for path in _images(layout)
    }
    found = []
    for img_id in layout.ids:
        file = layout.root / layout.boxes / f'{img_id}.xml'
        with problems.guard('unreadable-annotation', str(file)):
            told, objects = read_voc_xml(file, problems)
            boxes = [SourceObject(one.name, one.box, f'object {one.number}') for one in objects]
            path = images.get(img_id, layout.root / layout.images / f'{img_id}.jpg')
            found.append(SourceImage(path, file, partial(_same, boxes), told, split_of_path(file, layout.root)))
    return Source(found)


def _same(objects: list[SourceObject], size: Size) -> list[SourceObject]:
    return objects


def _has_voc_xml(folder: Path) -> bool:
    for path, _ in zip(folder.rglob('*.xml'), range(_LOOKED_AT)):
        with open(path, 'rb') as file:
            head = file.read(4096)
        if b'<annotation>' in head or b'<annotation ' in head:
            return True
    return False


def _layout(root: Path, boxes: str) -> VOCLayout:
    images = next((name for name in ('JPEGImages', 'images', 'Images', boxes) if (root / name).is_dir()), '')
    layout = _matched(root, images, boxes)
    if not layout.with_image and (folders := _folders(root, boxes)) is not None:
        other = _matched(root, *folders)
        return other if other.with_image else layout
    return layout


def _folders(root: Path, boxes: str) -> tuple[str, str] | None:
    """Folders below the root with the images and the XML, whatever they are called, by the names of the files."""
    files = [path for path in walk(root / boxes) if path.suffix == '.xml']
    names = {path.stem for path in files}
    images = [path for path in find_images(root) if path.stem in names]
    if not files or not images:
        return None
    top = [Path(os.path.commonpath([path.parent for path in paths])) for paths in (images, files)]
    image_folder, box_folder = (path.relative_to(root).as_posix() for path in top)
    return image_folder.removeprefix('.'), box_folder.removeprefix('.')


def _matched(root: Path, images: str, boxes: str) -> VOCLayout:
    ids = [
        path.relative_to(root / boxes).with_suffix('').as_posix()
        for path in walk(root / boxes)
        if path.suffix == '.xml'
    ]
    layout = VOCLayout(root, images, boxes, None, ids)
    layout.masks = next((name for name in MASK_FOLDERS if (root / name).is_dir()), None)
    suffixes = Counter()
    wanted, seen = set(ids), set()
    for path in _images(layout):
        img_id = path.relative_to(root / images).with_suffix('').as_posix()
        if img_id in wanted:
            suffixes[path.suffix] += 1
            seen.add(img_id)
        else:
            layout.without_xml.append(img_id)
    layout.with_image = len(seen)
    if len(suffixes) == 1 and sum(suffixes.values()) == len(seen):
        (layout.suffix,) = suffixes
    elif not suffixes:
        layout.suffix = IMAGE_SUFFIXES[0]
    return layout


def _images(layout: VOCLayout) -> list[Path]:
    masks = layout.root / (layout.masks or '.no-masks')
    return [path for path in find_images(layout.root / layout.images) if not path.is_relative_to(masks)]
