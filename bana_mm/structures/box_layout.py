"""The boxes of an image on its pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import class_regions, inside_boxes, label_rows, pixel_boxes

from .label_map import IGNORE


@dataclass(eq=False)
class BoxLayout:
    """The boxes of an image on its pixels, and the classes that they name.

    Class indices are 1..L with background 0; the labels 0..L-1 of mmdet's samples are converted here and nowhere else.

    Args:
        size (tuple[int, int]): Height and width of the image in pixels.
        classes (tuple[int, ...]): Class index of each row of scores, 0 (background) first: those of the image in
            ascending order, or one a box, see :meth:`by_instance`.
        boxes (Tensor): (K, 4) int64, xyxy in pixels, half-open, not empty, inside the image.
        rows (tuple[int, ...]): For each box the position of its class in ``classes[1:]``.
        ignored (Tensor): (J, 4) int64, boxes that are neither object nor background.
    """

    size: tuple[int, int]
    classes: tuple[int, ...]
    boxes: Tensor
    rows: tuple[int, ...]
    ignored: Tensor

    @classmethod
    def from_boxes(
        cls,
        size: tuple[int, int],
        boxes: Tensor | np.ndarray | Sequence,
        classes: Tensor | np.ndarray | Sequence[int],
        ignored: Tensor | np.ndarray | Sequence | None = None,
    ) -> 'BoxLayout':
        """From annotations.

        Args:
            size (tuple[int, int]): Height and width of the image in pixels.
            boxes (Tensor | np.ndarray | Sequence): (K, 4), xyxy in pixel edges, 0-based, half-open; rounded and clipped
                to the image.
            classes (Tensor | np.ndarray | Sequence[int]): (K,), class indices 1..L.
            ignored (Tensor | np.ndarray | Sequence | None): (J, 4), boxes of objects that are neither to be found nor
                background. Defaults to None.

        Raises:
            ValueError: If there is not one class for each box, a class lies outside of 1..254 (0 is background, 255
                marks ignored pixels), or a box is not finite.
        """
        boxes, ignored = (_box_tensor(given) for given in (boxes, () if ignored is None else ignored))
        indices = [int(index) for index in (classes if isinstance(classes, Sequence) else classes.tolist())]
        if len(indices) != len(boxes):
            raise ValueError(f'{len(boxes)} boxes need as many classes, got {len(indices)}')
        if indices and not 1 <= min(indices) <= max(indices) < IGNORE:
            raise ValueError(f'classes of boxes must lie in 1..254 (0 is background, 255 ignored), got {indices}')
        size = (int(size[0]), int(size[1]))
        layout = cls(
            size=size,
            classes=(0, *indices),
            boxes=pixel_boxes(boxes, size),
            rows=tuple(range(len(boxes))),
            ignored=pixel_boxes(ignored, size),
        )
        return layout.by_class()

    @classmethod
    def from_instances(cls, size: tuple[int, int], instances: Sequence[Mapping[str, Any]]) -> 'BoxLayout':
        """From the ``instances`` of a dataset's item.

        Args:
            size (tuple[int, int]): Height and width of the image in pixels.
            instances (Sequence[Mapping]): Each with ``bbox`` (xyxy in pixel edges), ``bbox_label`` (0..L-1) and
                ``ignore_flag``, as mmengine's datasets hold them.
        """
        kept = [instance for instance in instances if not instance['ignore_flag']]
        ignored = [instance['bbox'] for instance in instances if instance['ignore_flag']]
        boxes, classes = [one['bbox'] for one in kept], [one['bbox_label'] + 1 for one in kept]
        return cls.from_boxes(size, boxes, classes, ignored)

    @classmethod
    def from_sample(cls, sample: Any) -> 'BoxLayout':
        """From an mmdet ``DetDataSample`` whose image has its own size."""
        boxes, ignored = (
            getattr(part.bboxes, 'tensor', part.bboxes).detach().cpu()
            for part in (sample.gt_instances, sample.ignored_instances)
        )
        return cls.from_boxes(sample.ori_shape[:2], boxes, sample.gt_instances.labels.cpu() + 1, ignored)

    @property
    def box_classes(self) -> tuple[int, ...]:
        """Class index of each box, 1..L."""
        return tuple(self.classes[row + 1] for row in self.rows)

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each box: (K,) int64."""
        x1, y1, x2, y2 = self.boxes.T
        return ((x2 - x1) * (y2 - y1)).numpy()

    def by_instance(self) -> 'BoxLayout':
        """The same boxes with a row of scores for each."""
        return replace(self, classes=(0, *self.box_classes), rows=tuple(range(len(self.rows))))

    def by_class(self) -> 'BoxLayout':
        """The same boxes with a row of scores for each class."""
        indices = self.box_classes
        classes = sorted(set(indices))
        return replace(self, classes=(0, *classes), rows=tuple(map(classes.index, indices)))

    def scaled(self, size: tuple[int, int]) -> 'BoxLayout':
        """The same boxes on a smaller copy of the image (ours).

        A box covers every pixel of the copy that it touches, so that it has one at least. Only at the edge of the image
        it does not where the box itself leaves room there: what is background for certain stays so.

        Args:
            size (tuple[int, int]): Height and width of the copy in pixels.

        Raises:
            ValueError: If the copy is larger than the image.
        """
        if size[0] > self.size[0] or size[1] > self.size[1]:
            raise ValueError(f'a copy of {size} pixels (height, width) is larger than the image, {self.size}')
        boxes, ignored = (_scaled_boxes(boxes, self.size, size) for boxes in (self.boxes, self.ignored))
        return replace(self, size=size, boxes=boxes, ignored=ignored)

    def regions(self, device: torch.device | str = 'cpu') -> Tensor:
        """Pixels inside the boxes of each class: (C, H, W) bool."""
        return class_regions(self.boxes.to(device), self.rows, len(self.classes) - 1, self.size)

    def unknown(self, device: torch.device | str = 'cpu') -> Tensor:
        """Pixels that lie in ignored boxes only: (H, W) bool."""
        unknown = torch.zeros(self.size, dtype=torch.bool, device=device)
        for boxes, value in ((self.ignored, True), (self.boxes, False)):
            for x1, y1, x2, y2 in boxes.tolist():
                unknown[y1:y2, x1:x2] = value
        return unknown

    def background(self, device: torch.device | str = 'cpu') -> Tensor:
        """Definite background M, pixels in no box at all: (H, W) bool."""
        return ~inside_boxes(torch.cat([self.boxes, self.ignored]).to(device), self.size)

    def label_map(self, scores: Tensor) -> np.ndarray:
        """The label map of some scores.

        Args:
            scores (Tensor): (C + 1, H, W), >= 0, rows as in ``classes``.

        Returns:
            np.ndarray: (H, W) uint8: the best of background and the classes that have a box there; 255 in pixels of
            which only ignored boxes tell (ours: the reference code keeps difficult objects as ordinary ones).
        """
        rows = label_rows(scores, self.regions(scores.device))
        label = torch.tensor(self.classes, dtype=torch.uint8, device=scores.device)[rows]
        return label.masked_fill(self.unknown(scores.device), IGNORE).cpu().numpy()

    def __getstate__(self) -> dict[str, Any]:
        # torch would put each tensor into shared memory of its own to send it to a worker process.
        return dict(vars(self), boxes=self.boxes.numpy(), ignored=self.ignored.numpy())

    def __setstate__(self, state: dict[str, Any]) -> None:
        boxes, ignored = (torch.from_numpy(state[name]) for name in ('boxes', 'ignored'))
        vars(self).update(state, boxes=boxes, ignored=ignored)


def _box_tensor(boxes: Tensor | np.ndarray | Sequence) -> Tensor:
    """(K, 4) float64 on the CPU; float32 stays as it is."""
    if not isinstance(boxes, Tensor):
        boxes = torch.from_numpy(np.array(boxes, dtype=np.float64).reshape(-1, 4))
    boxes = boxes.reshape(-1, 4)
    if not boxes.isfinite().all():
        raise ValueError(f'boxes must be finite, got {boxes.tolist()}')
    return boxes


def _scaled_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(K, 4) int64 boxes on a smaller copy, see :meth:`BoxLayout.scaled`."""
    edges = []
    for low, high, length, cells in (
        (boxes[:, 0], boxes[:, 2], old[1], new[1]),
        (boxes[:, 1], boxes[:, 3], old[0], new[0]),
    ):
        first, last = low * cells // length, (high * cells + length - 1) // length
        first = first + ((low > 0) & (first == 0) & (last > 1)).long()
        last = last - ((high < length) & (last == cells) & (last - first > 1)).long()
        edges.append((first, last))
    (x1, x2), (y1, y2) = edges
    return torch.stack([x1, y1, x2, y2], dim=1)
