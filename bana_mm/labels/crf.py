"""The CRF of an image, once the network has seen it: what worker processes run."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bana_mm.functional import dense_crf
from bana_mm.structures import BoxLayout


@dataclass(eq=False)
class LabelTask:
    """Input of the CRF for one image: small, picklable, and without the features.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB, as stored on disk.
        layout (BoxLayout): Boxes and classes.
        probability (np.ndarray): (C + 1, H, W) float32, rows as in ``layout.classes``.
        restore (tuple[bool, ...]): For each box whether it gets pixels back if the CRF leaves it none.
        crf (dict): Keyword arguments of :func:`bana_mm.functional.dense_crf`.
    """

    image: np.ndarray
    layout: BoxLayout
    probability: np.ndarray
    restore: tuple[bool, ...]
    crf: dict

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.layout.size:
            raise ValueError(
                f'image of height and width {self.image.shape[:2]} where its boxes and features are for '
                f'{self.layout.size}'
            )

    def run(self) -> np.ndarray:
        """Y_crf (paper Sec. 3.2), in any process.

        Returns:
            np.ndarray: (H, W) uint8, class indices and 255. Without boxes all is background and no CRF runs.
        """
        return crf_labels([self])[0]


def crf_labels(tasks: Sequence[LabelTask], device: str | torch.device = 'cpu') -> list[np.ndarray]:
    """Y_crf of several images, of which those of one size and number of classes go through the CRF at once.

    Args:
        tasks (Sequence[LabelTask]): One an image; the CRF's parameters are those of the first.
        device (str | torch.device): Where the CRF's torch backend runs. Defaults to 'cpu'.

    Returns:
        list[np.ndarray]: (H, W) uint8 each, see :meth:`LabelTask.run`.
    """
    groups = defaultdict(list)
    for position, task in enumerate(tasks):
        groups[task.probability.shape].append(position)
    labels: dict[int, np.ndarray] = {}
    for (rows, *_), positions in groups.items():
        group = [tasks[position] for position in positions]
        scores = torch.from_numpy(np.stack([task.probability for task in group])).to(device)
        if rows > 1:
            scores = dense_crf(np.stack([task.image for task in group]), scores, **group[0].crf)
        for position, task, score in zip(positions, group, scores):
            labels[position] = _restore_boxes(task.layout.label_map(score), task)
    return [labels[position] for position in range(len(tasks))]


def _restore_boxes(label: np.ndarray, task: LabelTask) -> np.ndarray:
    """Give boxes without a pixel of their class those that the unary gives it (ours).

    The CRF may smooth a small or faint object away, and with it every trace of its class. Smaller boxes come last and
    so lie in front; a box can stay empty only where smaller restored ones cover it.
    """
    layout = task.layout
    boxes = layout.boxes.tolist()
    for k in np.argsort(layout.areas, kind='stable')[::-1]:
        x1, y1, x2, y2 = boxes[k]
        row = layout.rows[k] + 1
        inside = label[y1:y2, x1:x2]
        if task.restore[k] and not (inside == layout.classes[row]).any():
            probability = task.probability[:, y1:y2, x1:x2]
            wins = probability[row] >= probability.max(axis=0)
            inside[wins if wins.any() else probability[row] == probability[row].max()] = layout.classes[row]
    return label
