"""From a foreign format to COCO's JSON, with the images left where they are."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bana_mm.datasets.coco_files import box_of
from bana_mm.datasets.metainfo import object_classes
from bana_mm.datasets.reading_notes import ReadingNotes
from bana_mm.utils.image_files import ImageHeader, read_header, size_problem
from bana_mm.utils.problems import STOP, Place, Problems
from bana_mm.utils.progress import Progress

from .formats.source import Source, SourceImage, SourceObject

Entry = dict[str, Any]


@dataclass
class COCOContent:
    """Images and annotations as COCO's JSON holds them.

    Args:
        root (Path): Root of the data set.
        folder (str): Of the images, below it; '' for the root itself.
        classes (list[str]): Names of the classes; their ids are 1, 2, ...
        images (list[dict]): Entries of the images.
        splits (list[str | None]): The part of the data that each image is of; None where nothing says.
        annotations (dict[int, list[dict]]): Entries of the annotations by the id of their image.
    """

    root: Path
    folder: str
    classes: list[str]
    images: list[Entry]
    splits: list[str | None]
    annotations: dict[int, list[Entry]]

    def part(self, img_ids: Sequence[int]) -> dict[str, Any]:
        """The file of some of the images."""
        chosen = set(img_ids)
        return dict(
            info=dict(description='boxes from another format, written by init_data'),
            images=[image for image in self.images if image['id'] in chosen],
            annotations=[one for img_id in sorted(chosen) for one in self.annotations[img_id]],
            categories=[dict(id=number, name=name) for number, name in enumerate(self.classes, 1)],
        )


def to_coco(source: Source, root: Path, problems: Problems = STOP, with_masks: bool = False) -> COCOContent:
    """Read all images' sizes and objects.

    Args:
        source (Source): From one of the readers.
        root (Path): Folder of the data set.
        problems (Problems): What is told of all that is wrong; images and objects with errors are left out. Defaults to
            what stops at the first.
        with_masks (bool): Whether outlines and masks go into the field ``segmentation``. Defaults to False.

    Returns:
        COCOContent: Boxes are clipped to their images and rounded to a thousandth of a pixel.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If an image can't be read or is of another size than its annotations say, or a box has no area in
            its image; or if there is no image or no class. Every message names the file.
    """
    notes = ReadingNotes(str(root), 'edges counted from 0, as the format has them', problems)
    found: list[tuple[SourceImage, ImageHeader, list[tuple[SourceObject, list[float]]]]] = []
    with Progress(len(source.images), title='images and boxes') as progress:
        for image in source.images:
            header, objects = _read(image, problems, notes)
            if header is not None:
                found.append((image, header, objects))
            progress.update()
    notes.log('error')
    names = sorted({one.name for _, _, objects in found for one, _ in objects})
    if not found:
        raise ValueError(f'{root}: holds no image that can be used')
    if source.classes is None and not names:
        raise ValueError(f'{root}: holds no box, and so no class')
    known = list(source.classes or ())
    try:
        classes = list(object_classes([*known, *(name for name in names if name not in known)]))
    except ValueError as error:
        raise ValueError(f'{root}: {error}') from error
    top, folder = _folders([image.path for image, _, _ in found], root)
    content = COCOContent(top, folder, classes, [], [image.split for image, _, _ in found], {})
    number_of = {name: number for number, name in enumerate(classes, 1)}
    count = 0
    for img_id, (image, header, objects) in enumerate(found, 1):
        height, width = header.shown
        name = Path(os.path.abspath(image.path)).relative_to(Path(os.path.abspath(top / folder))).as_posix()
        content.images.append(dict(id=img_id, file_name=name, height=height, width=width))
        content.annotations[img_id] = []
        for one, box in objects:
            count += 1
            entry = _annotation(one, box)
            content.annotations[img_id].append(
                dict(id=count, image_id=img_id, category_id=number_of[one.name], iscrowd=0, **entry)
            )
            segmentation = one.polygons or one.mask
            if with_masks and segmentation:
                entry = content.annotations[img_id][-1]
                entry['segmentation'] = _rounded(segmentation)
    return content


def _read(
    image: SourceImage, problems: Problems, notes: ReadingNotes
) -> tuple[ImageHeader | None, list[tuple[SourceObject, list[float]]]]:
    """The head of an image and the boxes inside it; None where the image can't be used and problems are listed."""
    path, header, is_usable = str(image.path), None, True
    if not image.path.is_file():
        error = FileNotFoundError(f'{path} does not exist, but {image.file} has boxes of it')
        problems.error('missing-image', error, path)
    else:
        with problems.guard('unreadable-image', path):
            header = read_header(path)
    size = header.shown if header is not None else image.told
    if header is not None and image.told is not None and image.told != header.shown:
        problems.error('size', ValueError(size_problem(path, header.shown, image.told)), path)
        size, is_usable = image.told, False
    if size is None:
        return None, []
    objects: list[tuple[SourceObject, list[float]]] = []
    with problems.guard('unreadable-annotation', str(image.file)):
        for one in image.read(size):
            box = _clipped(one, image, size, problems, notes)
            if box is not None:
                objects.append((one, box))
    if header is not None and objects and not header.is_told_by_size:
        notes.unsure_orientation.append(Place(path))
    return (header if is_usable else None), objects


def _clipped(
    one: SourceObject, image: SourceImage, size: tuple[int, int], problems: Problems, notes: ReadingNotes
) -> list[float] | None:
    """The box of an object inside its image, None where nothing is left."""
    where = Place(str(image.file), one.entry)
    x1, y1, x2, y2 = one.box
    box = box_of(dict(bbox=(x1, y1, x2 - x1, y2 - y1)), size[1], size[0])
    if box is None:
        told = ', '.join(f'{value:g}' for value in one.box)
        error = ValueError(
            f'{where}: the box with the edges {told} (x1, y1, x2, y2) is flipped, empty, or outside the {size[1]} x '
            f'{size[0]} image; correct or remove it'
        )
        problems.error('box', error, *where)
        return None
    notes.box(where, one.box, box, one.box, (str(image.path), one.name))
    return box


def _annotation(one: SourceObject, box: Sequence[float]) -> Entry:
    x1, y1, x2, y2 = box
    width, height = round(x2 - x1, 3), round(y2 - y1, 3)
    return dict(bbox=[round(x1, 3), round(y1, 3), width, height], area=round(width * height, 3))


def _rounded(segmentation: Sequence[list[float]] | Mapping[str, Any]) -> Any:
    if isinstance(segmentation, Mapping):
        return segmentation
    return [[round(value, 3) for value in polygon] for polygon in segmentation]


def _folders(paths: Sequence[Path], root: Path) -> tuple[Path, str]:
    """Root of the data set and the folder below it that holds all images."""
    common = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))
    top = Path(os.path.abspath(root))
    if common.is_relative_to(top):
        below = common.relative_to(top).as_posix()
        return root, '' if below == '.' else f'{below}/'
    return common, ''  # somewhere else
