"""Masks of instances into a COCO file."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from bana_mm.structures import encode_mask
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.record import MASKS_FIELD, as_stored, check_record, file_digest

from ..item import LabelItem, LabelItems
from ..sources.answer import Masks
from .base import LabelSink, Write
from .boxes_json import coco_boxes
from .mask_json import find_true_masks, read_record, write_pseudo_masks
from .parts import BOXES, LabelParts


class MaskSink(LabelSink):
    """A COCO file with a mask, its unreliable pixels and a score for each box, see :func:`write_pseudo_masks`.

    Until the end the labels of finished images are in ``OUT.parts``.

    Args:
        out (str | Path): File to write.
        items (LabelItems): Images and boxes. Of those that come from a COCO file, with or without masks, all else that
            it holds is kept; of a data set in another format such a file is made first, see :func:`coco_boxes`.
        keep_masks (bool): Whether annotations of the COCO file that have a true mask keep it, reliable everywhere, see
            :func:`find_true_masks`; only the others are labelled then, and the record says as ``masks_used`` how many
            were kept. Defaults to False: no mask is used.

    Raises:
        ValueError: If ``out`` is the file of the boxes, or masks are to be kept of what is no COCO file.
    """

    kind = 'masks'

    def __init__(self, out: str | Path, items: LabelItems, keep_masks: bool = False) -> None:
        self.out = Path(out)
        ann_file = items.ann_file
        if ann_file is not None and self.out.exists() and self.out.samefile(ann_file):
            raise ValueError(f'{self.out}: is the file of boxes; choose another name for that of the masks')
        if keep_masks and ann_file is None:
            raise ValueError(f"{self.out}: only masks of a file in COCO's format can be kept")
        self.keep_masks = keep_masks
        self.items = items
        self.parts = LabelParts(self.out.with_name(self.out.name + '.parts'))
        self.ann_file = ann_file

    @property
    def where(self) -> str:
        return str(self.out)

    def describe(self) -> dict[str, Any]:
        if self.ann_file is not None:
            boxes = dict(name=Path(self.ann_file).name, sha256=file_digest(self.ann_file))
        else:
            boxes = dict(images=len(self.items), annotations=len(self._boxes['annotations']))
        return {'boxes': boxes, MASKS_FIELD: len(self._kept)}

    def is_done(self, record: Mapping[str, Any]) -> bool:
        if not self.out.exists():
            return False
        stored = read_record(self.out)
        if stored is None:
            raise ValueError(
                f'{self.out}: is there and was not written by this tool; choose another file, or --overwrite'
            )
        way_out = 'choose another file, or make all anew with --overwrite'
        check_record(self.out, stored, record, 'its masks were made', way_out)
        self.parts.remove()  # of a run that was killed at its very end
        return True

    def begin(self, record: Mapping[str, Any], overwrite: bool = False) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            # At once, so that such a run, when killed, goes on without this flag.
            self.out.unlink(missing_ok=True)
        self.parts.begin(record, overwrite)
        if self.ann_file is None:
            with whole_file(self.parts.root / BOXES) as partial:
                partial.write_text(json.dumps(self._boxes), encoding='utf-8')

    def missing(self) -> list[int]:
        finished = self.parts.index()
        return [index for index, image_id in self._to_label if image_id not in finished]

    @contextmanager
    def writer(self, rank: int) -> Iterator[Write]:
        with self.parts.writer(rank) as writer:

            def write(index: int, item: LabelItem, masks: Masks) -> None:
                entries = []
                corners = item.layout.boxes[:, :2].tolist()
                for ann_id, corner, one in zip(self._annotation_ids(index), corners, masks, strict=True):
                    entries.append(
                        dict(
                            id=ann_id,
                            segmentation=encode_mask(one.mask, item.layout.size, corner),
                            unreliable=encode_mask(one.unreliable, item.layout.size, corner),
                            area=int(one.mask.sum()),
                            score=round(one.score, 6),
                        )
                    )
                writer.write(self._image_ids[index], entries)

            yield write

    def end(self, record: Mapping[str, Any]) -> None:
        ann_file = self.parts.root / BOXES if self.ann_file is None else self.ann_file
        image_ids = [image_id for _, image_id in self._to_label]
        write_pseudo_masks(self.out, ann_file, self.parts, image_ids, as_stored(record), self._kept)
        self.parts.remove()

    @cached_property
    def _boxes(self) -> dict[str, Any]:
        return coco_boxes(self.items)

    @cached_property
    def _image_ids(self) -> list[int]:
        if self.ann_file is None:
            return [image['id'] for image in self._boxes['images']]
        return [self.items.dataset.get_data_info(index)['coco_id'] for index in range(len(self.items))]

    @cached_property
    def _kept(self) -> frozenset[int]:
        """Annotations that keep their masks."""
        return find_true_masks(self.ann_file) if self.keep_masks else frozenset()

    @cached_property
    def _to_label(self) -> list[tuple[int, int]]:
        """Positions and ids of all images but those in which every box keeps its mask."""
        numbered = list(enumerate(self._image_ids))
        if not self._kept:
            return numbered
        return [one for one in numbered if not self._kept.issuperset(self._annotation_ids(one[0]))]

    @cached_property
    def _made_annotation_ids(self) -> dict[int, list[int]]:
        ids: dict[int, list[int]] = {image_id: [] for image_id in self._image_ids}
        for annotation in self._boxes['annotations']:
            if not annotation['ignore']:
                ids[annotation['image_id']].append(annotation['id'])
        return ids

    def _annotation_ids(self, index: int) -> list[int]:
        """Of the boxes of an image that are labelled, in their order."""
        if self.ann_file is None:
            return self._made_annotation_ids[self._image_ids[index]]
        instances = self.items.dataset.get_data_info(index)['instances']
        return [instance['ann_id'] for instance in instances if not instance['ignore_flag']]
