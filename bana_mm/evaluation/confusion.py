"""Agreement of label maps with the ground truth, counted image by image.

By hand, since the metrics of torchmetrics, scikit-learn and mmseg have no column for predictions of "ignored".
"""

from collections.abc import Sequence

import numpy as np

from bana_mm.structures import IGNORE, check_classes

# Said where masks hold no object at all: the IoU of the background alone would be 100.
NOTHING_COMPARED = (
    'no pixel of any class was compared: the masks hold only background (0) and ignored pixels (255). Masks must hold '
    'class indices 1..L; those of 0 and 255, as many programs write them, mark nothing but ignored pixels'
)
BLOCK = 1 << 20  # pixels that are counted at once: of each, counting takes some 20 bytes


class ConfusionMatrix:
    """Pixel counts by true and predicted class.

    Pixels whose ground truth is 255 count nowhere. Pixels whose prediction is 255 are wrong, as if a class had been
    predicted that never occurs: a single map must not score better by saying nothing. What several maps agree on is
    another question, for which they are left out of every IoU. :meth:`ignored_share` says how many they are.

    Args:
        num_classes (int): Number L of object classes; maps hold 0..L and 255.
        leave_out_ignored (bool): Leave pixels whose prediction is 255 out of every IoU. Defaults to False.

    Attributes:
        counts (np.ndarray): (L + 1, L + 2) int64; rows are the ground truth, columns the prediction, the last column
            255.
    """

    def __init__(self, num_classes: int, leave_out_ignored: bool = False) -> None:
        self.num_classes = num_classes
        self.leave_out_ignored = leave_out_ignored
        self.counts = np.zeros((num_classes + 1, num_classes + 2), dtype=np.int64)

    def update(self, ground_truth: np.ndarray, prediction: np.ndarray, image: str | None = None) -> None:
        """Count the pixels of an image.

        Args:
            ground_truth (np.ndarray): (H, W) uint8.
            prediction (np.ndarray): (H, W) uint8.
            image (str | None): What messages call the image. Defaults to None, not at all.

        Raises:
            ValueError: If the shapes differ or a class is out of range.
        """
        check_pair(ground_truth, prediction, self.num_classes, image)
        columns = self.num_classes + 2
        rows, predicted = ground_truth.ravel(), prediction.ravel()
        for start in range(0, rows.size, BLOCK):
            row, column = rows[start : start + BLOCK], predicted[start : start + BLOCK]
            valid = row != IGNORE
            column = np.minimum(column[valid], columns - 1)  # 255 to the last one
            cell = row[valid].astype(np.int64) * columns + column
            self.counts += np.bincount(cell, minlength=self.counts.size).reshape(self.counts.shape)

    def iou(self) -> np.ndarray:
        """Intersection over union of each class: (L + 1,) float64 in [0, 1], NaN without any pixel."""
        counts = self.counts[:, :-1]
        hits = counts.diagonal()
        true = counts if self.leave_out_ignored else self.counts
        union = counts.sum(0) + true.sum(1) - hits
        with np.errstate(invalid='ignore'):
            return hits / union

    def present(self) -> np.ndarray:
        """Classes that the ground truth holds: (L + 1,) bool."""
        return self.counts.sum(1) > 0

    def compares_objects(self) -> bool:
        """Whether the ground truth holds any pixel of an object class, without which no figure means anything."""
        return bool(self.present()[1:].any())

    def require_objects(self, where: str) -> None:
        """Raise a ValueError that names ``where`` unless :meth:`compares_objects`."""
        if not self.compares_objects():
            raise ValueError(f'{where}: {NOTHING_COMPARED}')

    def mean_iou(self, classes: Sequence[int] | None = None) -> float:
        """Mean IoU over classes that the ground truth holds.

        Args:
            classes (Sequence[int], optional): Class indices to average over, the background (0) only if it is among
                them. Defaults to None, all.

        Returns:
            float: In [0, 1]; NaN if the ground truth holds none of them, or nothing but background. With
            ``leave_out_ignored`` a class whose pixels are all ignored and that is predicted nowhere has no IoU and is
            left out.
        """
        chosen = self.present()
        if classes is not None:
            chosen &= np.isin(np.arange(len(chosen)), list(classes))
        iou = self.iou()[chosen]
        iou = iou[~np.isnan(iou)] if self.compares_objects() else iou[:0]
        return float(iou.mean()) if len(iou) else float('nan')

    def ignored_share(self) -> float:
        """Share of the pixels with a ground truth whose prediction is 255, in [0, 1]; NaN without such pixels."""
        total = self.counts.sum()
        return float(self.counts[:, -1].sum() / total) if total else float('nan')


def check_pair(ground_truth: np.ndarray, prediction: np.ndarray, num_classes: int, image: str | None = None) -> None:
    """Refuse label maps of different sizes, or with a class out of range.

    Args:
        ground_truth (np.ndarray): (H, W) uint8.
        prediction (np.ndarray): (H, W) uint8.
        num_classes (int): Number L of object classes; maps hold 0..L and 255.
        image (str | None): What messages call the image. Defaults to None, not at all.

    Raises:
        ValueError: If the shapes differ or a class is out of range.
    """
    where = '' if image is None else f'{image}: '
    if ground_truth.shape != prediction.shape:
        raise ValueError(f'{where}ground truth has shape {ground_truth.shape}, prediction {prediction.shape}')
    for name, label in (('ground truth', ground_truth), ('prediction', prediction)):
        check_classes(label, num_classes, f'{where}{name}')
