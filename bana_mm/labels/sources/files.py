"""Labels made elsewhere, such as with SAM: label maps, or one mask a box."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bana_mm.functional import pixel_boxes
from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask, decode_mask, paint_masks, read_label_png
from bana_mm.utils.record import file_digest, file_stamp, read_json
from bana_mm.utils.shortened import is_finite, shortened

from ..item import LabelItem
from .answer import Kind, LabelMaps, Masks, masks_of_maps
from .base import LabelSource

# Boxes that went through another tool's rounding or 1-based coordinates still count as the same.
MAX_BOX_SHIFT = 1


@LABEL_SOURCES.register_module(name=['files', 'FilesSource'])
class FilesSource(LabelSource):
    """Looks labels up by image id. ``path`` is one of two:

    - A folder of label maps ``ID.png``, 8 bits a pixel with or without a palette: 0 background, 1..L classes, 255
      ignored. They are taken as they are. Of a label store with several maps it is one of its folders.
    - A JSON file in COCO's format of results: a list with one entry a box, each with ``image_id`` (the id, as a string
      or number), ``category_id`` (class index 1..L; where the boxes come from a COCO file, its id there), ``bbox`` ([x,
      y, width, height] in pixels, 0-based) and ``segmentation`` (run lengths: ``size`` [H, W] of the image and
      ``counts``, compressed or a list), and maybe ``unreliable`` (run lengths) and ``score``. Each box of an image
      takes the entry of its class with the nearest ``bbox``, all edges within one pixel, and no two boxes the same;
      further entries are not used. Masks are cut to their boxes and painted with the smallest box in front; an empty
      one is replaced by the whole box, all of it unreliable.

    Args:
        path (str | Path): The folder or file.
        num_classes (int | None): Object classes L, for checking label maps. Defaults to None, not checked.

    Raises:
        FileNotFoundError: If ``path`` does not exist, an image has no label map, or a box no mask.
        ValueError: If ``path`` is neither a folder nor ``.json``, or a file can't be read, is of another size than the
            image, or lacks a field. Every message names the file.
    """

    name = 'files'
    text_fields = ('path',)
    takes_any_box = False
    takes_copies = False  # its labels are of the image's own size

    def __init__(self, path: str | Path, num_classes: int | None = None) -> None:
        self.path = Path(path)
        self.num_classes = num_classes
        self._category_ids: tuple[int, ...] | None = None
        if not self.path.exists():
            raise FileNotFoundError(
                f'{self.path}: label source does not exist; give a folder of label maps ID.png, '
                "or a JSON file of masks in COCO's format of results"
            )
        maps = [] if self.path.is_file() else self._maps_of_store()
        if len(maps) == 1:  # a store of one map is as good as its folder
            self.path = self.path / maps[0]
        elif maps:
            raise ValueError(
                f'{self.path}: has several label maps of each image; name one, '
                f'{" or ".join(str(self.path / name) for name in maps)}'
            )
        if self.path.is_file():
            if self.path.suffix != '.json':
                raise ValueError(f'{self.path}: label source must be a folder of label maps, or a .json file of masks')
            _masks_by_image(self.path)  # finds out now what is wrong with it

    def _maps_of_store(self) -> list[str]:
        """Folders of the label maps, where the path is a label store; none for other folders."""
        record = self.path / 'meta.json'
        maps = read_json(record).get('maps') if record.is_file() else None
        return [name for name in maps or () if (self.path / name).is_dir()]

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        """Images without a label map. Whether masks are missing only the boxes tell."""
        if not self.path.is_dir():
            return []
        return [img_id for img_id in img_ids if not (self.path / f'{img_id}.png').exists()]

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        self._category_ids = tuple(range(1, len(classes) + 1)) if category_ids is None else tuple(category_ids)
        if self.path.is_dir():
            return
        given = {entry['category_id'] for entries in _masks_by_image(self.path).values() for entry in entries}
        if given and given.isdisjoint(self._category_ids):
            raise ValueError(
                f'{self.path}: none of its entries is of a class to label: they have category_id {_some(given)}, and '
                f'the classes have {_some(self._category_ids)}'
            )
        if category_ids is None and 0 in given:
            raise ValueError(
                f'{self.path}: category_id must be a class index from 1 on (0 is the background), but entries have 0'
            )

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        return [] if self.path.is_dir() else [(self.name, dict(sha256=file_digest(self.path)))]

    def label_maps(self, item: LabelItem) -> LabelMaps:
        if self.path.is_dir():
            path = self.path / f'{self._id_of(item)}.png'
            return {self.name: read_label_png(path, item.layout.size, self.num_classes)}
        return {self.name: paint_masks(item.layout, [one.mask for one in self.masks(item)])}

    def masks(self, item: LabelItem) -> Masks:
        if self.path.is_dir():
            return masks_of_maps(item, self.label_maps(item))
        return [self._mask(entry, box, item) for entry, box in zip(self._match(item), item.layout.boxes.tolist())]

    def _id_of(self, item: LabelItem) -> str:
        if item.img_id is None:
            raise ValueError(f'{self.path}: labels are looked up by image id, but none was given')
        return item.img_id

    def _match(self, item: LabelItem) -> list[dict]:
        """The entry of each box."""
        by_image, img_id = _masks_by_image(self.path), self._id_of(item)
        free = list(by_image.get(str(item.number)) or by_image.get(img_id, ()))
        chosen = []
        for box, index in zip(item.layout.boxes.numpy(), item.layout.box_classes):
            category = index if self._category_ids is None else self._category_ids[index - 1]
            shift = [
                _box_shift(entry, box, item.layout.size) if entry['category_id'] == category else np.inf
                for entry in free
            ]
            if min(shift, default=np.inf) > MAX_BOX_SHIFT:
                raise FileNotFoundError(
                    f'{self.path}: image {img_id!r} has no mask (or no further one) with category_id {category} and '
                    f'bbox {_xywh(box)} (x, y, width, height)'
                )
            chosen.append(free.pop(int(np.argmin(shift))))
        return chosen

    def _mask(self, entry: dict[str, Any], box: list[int], item: LabelItem) -> InstanceMask:
        x1, y1, x2, y2 = box
        pixels = {}
        for field in ('segmentation', 'unreliable'):
            if entry.get(field) is None:
                continue
            try:
                pixels[field] = decode_mask(entry[field], item.layout.size)[y1:y2, x1:x2]
            except ValueError as error:
                raise ValueError(
                    f'{self.path}: mask of image {item.img_id!r} with bbox {entry["bbox"]}: {field} cannot be decoded '
                    f'({error})'
                ) from error
        mask = pixels['segmentation']
        if not mask.any():
            return InstanceMask.stand_in(mask.shape)
        score = entry.get('score')
        return InstanceMask(mask, pixels.get('unreliable'), 1.0 if score is None else float(score))


def _masks_by_image(path: Path) -> dict[str, list[dict]]:
    """The checked entries of a file. Kept by each process, so that a source is quick to send to a worker."""
    return _read_masks(path, file_stamp(path))


@lru_cache(maxsize=4)
def _read_masks(path: Path, stamp: tuple[int, int]) -> dict[str, list[dict]]:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise ValueError(
            f"{path}: must hold a list with one entry a box (COCO's format of results), got {type(entries).__name__}"
        )
    by_image = defaultdict(list)
    for number, entry in enumerate(entries):
        problem = _entry_problem(entry)
        if problem:
            raise ValueError(f'{path}: entry {number}: {problem}')
        by_image[str(entry['image_id'])].append(entry)
    return dict(by_image)


def _entry_problem(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return f'must be an object, got {shortened(entry)}'
    for field in ('image_id', 'category_id', 'bbox', 'segmentation'):
        if field not in entry:
            return f'{field} is missing'
    box, category = entry['bbox'], entry['category_id']
    if not isinstance(category, int) or isinstance(category, bool):
        return f'category_id must be a whole number, got {shortened(category)}'
    if not isinstance(entry['image_id'], (int, str)):
        return f'image_id must be a text or a whole number, got {shortened(entry["image_id"])}'
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_finite, box))):
        return f'bbox must be the four numbers x, y, width and height, got {shortened(box)}'
    if not (entry.get('score') is None or is_finite(entry['score'])):
        return f'score must be a number, got {shortened(entry["score"])}'
    rle = entry['segmentation']
    if not (isinstance(rle, dict) and isinstance(rle.get('counts'), (str, list)) and isinstance(rle.get('size'), list)):
        return 'segmentation must be run lengths, with size [H, W] and counts'
    return None


def _box_shift(entry: dict[str, Any], box: np.ndarray, size: tuple[int, int]) -> int:
    """By how many pixels an edge of the entry's box is off, at most."""
    x, y, width, height = entry['bbox']
    entry_box = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float64)
    return np.abs(pixel_boxes(entry_box, size).numpy()[0] - box).max()


def _some(ids: Iterable[int]) -> str:
    """The first of some ids, for a message."""
    first = sorted(ids)[:5]
    return ', '.join(map(shortened, first)) + (', ...' if len(first) == 5 else '')


def _xywh(box: np.ndarray) -> list[int]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]
