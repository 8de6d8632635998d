"""What is left to do for an image once the network has seen it: small, picklable, and without the features.

The CRF runs in worker processes on :class:`LabelTask`; this module needs no network and none of the mm* packages.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import class_regions, dense_crf, inside_boxes, label_rows, pixel_boxes

from .png import IGNORE


@dataclass
class BoxLayout:
    """The boxes of an image on its pixels, and the classes that they name.

    Args:
        size (tuple[int, int]): Height and width of the image in pixels.
        classes (tuple[int, ...]): Class index of each row of scores, 0 (background) first: those of the image in
            ascending order, or one a box, see :meth:`by_instance`.
        boxes (np.ndarray): (K, 4) int64, xyxy in pixels, half-open.
        rows (tuple[int, ...]): For each box the position of its class in ``classes[1:]``.
        ignored (np.ndarray): (J, 4) int64, boxes that are neither object nor background.
    """

    size: tuple[int, int]
    classes: tuple[int, ...]
    boxes: np.ndarray
    rows: tuple[int, ...]
    ignored: np.ndarray

    @classmethod
    def from_boxes(
        cls, size: tuple[int, int], boxes: Tensor, labels: Tensor, ignored: Tensor | None = None
    ) -> 'BoxLayout':
        """From annotations.

        Args:
            size (tuple[int, int]): Height and width of the image in pixels.
            boxes (Tensor): (K, 4) float, xyxy in pixel edges.
            labels (Tensor): (K,) int, box labels 0..L-1.
            ignored (Tensor | None): (J, 4) float, xyxy in pixel edges. Defaults to None.

        Raises:
            ValueError: If there is not one label for each box.
        """
        boxes = boxes.reshape(-1, 4)
        if labels.shape != boxes.shape[:1]:
            raise ValueError(f'{len(boxes)} boxes need as many labels, got shape {tuple(labels.shape)}')
        ignored = boxes.new_zeros(0, 4) if ignored is None else ignored.reshape(-1, 4)
        return cls(
            size=(int(size[0]), int(size[1])),
            classes=(0, *(label + 1 for label in labels.tolist())),
            boxes=pixel_boxes(boxes, size).cpu().numpy(),
            rows=tuple(range(len(boxes))),
            ignored=pixel_boxes(ignored, size).cpu().numpy(),
        ).by_class()

    @classmethod
    def from_sample(cls, sample: Any) -> 'BoxLayout':
        """From an mmdet ``DetDataSample`` whose image has its own size."""
        boxes, ignored = (
            getattr(part.bboxes, 'tensor', part.bboxes) for part in (sample.gt_instances, sample.ignored_instances)
        )
        return cls.from_boxes(sample.ori_shape[:2], boxes, sample.gt_instances.labels, ignored)

    def by_instance(self) -> 'BoxLayout':
        """The same boxes with a row of scores for each."""
        classes = tuple(self.classes[row + 1] for row in self.rows)
        return replace(self, classes=(0, *classes), rows=tuple(range(len(classes))))

    def by_class(self) -> 'BoxLayout':
        """The same boxes with a row of scores for each class."""
        indices = [self.classes[row + 1] for row in self.rows]
        classes = sorted(set(indices))
        return replace(self, classes=(0, *classes), rows=tuple(map(classes.index, indices)))

    def regions(self, device: torch.device | str = 'cpu') -> Tensor:
        """Pixels inside the boxes of each class: (C, H, W) bool."""
        return class_regions(torch.from_numpy(self.boxes).to(device), self.rows, len(self.classes) - 1, self.size)

    def unknown(self, device: torch.device | str = 'cpu') -> Tensor:
        """Pixels that lie in ignored boxes only: (H, W) bool."""
        ignored, kept = (
            inside_boxes(torch.from_numpy(boxes).to(device), self.size) for boxes in (self.ignored, self.boxes)
        )
        return ignored & ~kept

    def background(self, device: torch.device | str = 'cpu') -> Tensor:
        """Definite background M, pixels in no box at all: (H, W) bool."""
        return ~inside_boxes(torch.from_numpy(np.concatenate([self.boxes, self.ignored])).to(device), self.size)

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


@dataclass
class LabelTask:
    """Input of the CRF for one image.

    Args:
        layout (BoxLayout): Boxes and classes.
        probability (np.ndarray): (C + 1, H, W) float32, rows as in ``layout.classes``.
        restore (tuple[bool, ...]): For each box whether it gets pixels back if the CRF leaves it none.
        crf (dict): Keyword arguments of :func:`bana_mm.functional.dense_crf`.
    """

    layout: BoxLayout
    probability: np.ndarray
    restore: tuple[bool, ...]
    crf: dict


def crf_label(image: np.ndarray, task: LabelTask, device: str | torch.device = 'cpu') -> np.ndarray:
    """Y_crf of an image (paper Sec. 3.2). Runs in any process.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB, as stored on disk.
        task (LabelTask): From :meth:`bana_mm.labels.generator.LabelGenerator.prepare`.
        device (str | torch.device): Where the CRF's torch backend runs. Defaults to 'cpu'.

    Returns:
        np.ndarray: (H, W) uint8, class indices and 255. Without boxes all is background and no CRF runs.

    Raises:
        ValueError: If the image has another size than the task.
    """
    return crf_labels([(image, task)], device)[0]


def crf_labels(images: Sequence[tuple[np.ndarray, LabelTask]], device: str | torch.device = 'cpu') -> list[np.ndarray]:
    """Y_crf of several images, of which those of one size and number of classes go through the CRF at once.

    Args:
        images (Sequence[tuple]): Image and task of each, as for :func:`crf_label`; the CRF's parameters are those of
            the first.
        device (str | torch.device): See :func:`crf_label`. Defaults to 'cpu'.

    Returns:
        list[np.ndarray]: (H, W) uint8 each.
    """
    groups = defaultdict(list)
    for position, (image, task) in enumerate(images):
        if image.shape[:2] != task.layout.size:
            raise ValueError(
                f'image of height and width {image.shape[:2]} where its boxes and features are for {task.layout.size}'
            )
        groups[task.probability.shape].append(position)
    labels: dict[int, np.ndarray] = {}
    for (rows, *_), positions in groups.items():
        pixels, tasks = zip(*(images[position] for position in positions))
        scores = torch.from_numpy(np.stack([task.probability for task in tasks])).to(device)
        if rows > 1:
            scores = dense_crf(np.stack(pixels), scores, **tasks[0].crf)
        for position, task, score in zip(positions, tasks, scores):
            labels[position] = _restore_boxes(task.layout.label_map(score), task)
    return [labels[position] for position in range(len(images))]


def _restore_boxes(label: np.ndarray, task: LabelTask) -> np.ndarray:
    """Give boxes without a pixel of their class those that the unary gives it (ours).

    The CRF may smooth a small or faint object away, and with it every trace of its class. Smaller boxes come last and
    so lie in front; a box can stay empty only where smaller restored ones cover it.
    """
    layout = task.layout
    area = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in layout.boxes]
    for k in np.argsort(area, kind='stable')[::-1]:
        x1, y1, x2, y2 = layout.boxes[k]
        row = layout.rows[k] + 1
        inside = label[y1:y2, x1:x2]
        if task.restore[k] and not (inside == layout.classes[row]).any():
            probability = task.probability[:, y1:y2, x1:x2]
            wins = probability[row] >= probability.max(axis=0)
            inside[wins if wins.any() else probability[row] == probability[row].max()] = layout.classes[row]
    return label
