"""Precision and recall of scores over all thresholds, from counts of bounded size."""

from collections.abc import Sequence

import numpy as np


class PrecisionRecall:
    """How well scores in [0, 1] tell positive pixels from negative ones, class by class.

    Scores are counted in bins, so memory depends neither on the images nor on their number. A pixel is predicted
    positive where its score is at least the threshold; for the thresholds 0, 1/bins, .., 1 the counts are exact.

    Args:
        num_classes (int): Number L of object classes.
        bins (int): Steps of the threshold between 0 and 1. Defaults to 100.

    Attributes:
        counts (np.ndarray): (L + 1, 2, bins + 1) int64: class, negative and positive, bin. Row 0 stays empty.
        thresholds (np.ndarray): (bins + 1,) float64.
    """

    def __init__(self, num_classes: int, bins: int = 100) -> None:
        if bins < 1:
            raise ValueError(f'bins must be at least 1, got {bins}')
        self.bins = bins
        self.thresholds = np.arange(bins + 1) / bins
        self.counts = np.zeros((num_classes + 1, 2, bins + 1), dtype=np.int64)

    def update(
        self, scores: np.ndarray, positive: np.ndarray, class_index: int, valid: np.ndarray | None = None
    ) -> None:
        """Count some pixels.

        Args:
            scores (np.ndarray): Any shape, float in [0, 1].
            positive (np.ndarray): Same shape, bool.
            class_index (int): Their class, 1..L.
            valid (np.ndarray | None): Same shape, bool; other pixels don't count. Defaults to None, all do.

        Raises:
            ValueError: If shapes differ, a score lies outside [0, 1], or the class is out of range.
        """
        if scores.shape != positive.shape or (valid is not None and valid.shape != scores.shape):
            raise ValueError(
                f'scores have shape {scores.shape}, positive {positive.shape}, valid '
                f'{None if valid is None else valid.shape}'
            )
        if not 1 <= class_index < len(self.counts):
            raise ValueError(f'class_index must lie in 1..{len(self.counts) - 1}, got {class_index}')
        if not ((scores >= 0) & (scores <= 1)).all():  # also catches NaN
            raise ValueError(f'scores must lie in [0, 1], got {scores.min()} to {scores.max()}')
        if valid is not None:
            scores, positive = scores[valid], positive[valid]
        # The number of thresholds at or below a score; floor(score * bins) would put 0.29 of 100 bins into bin 28.
        bins = np.searchsorted(self.thresholds.astype(scores.dtype), scores.ravel(), side='right') - 1
        cells = positive.ravel().astype(np.int64) * (self.bins + 1) + bins
        self.counts[class_index] += np.bincount(cells, minlength=2 * (self.bins + 1)).reshape(2, -1)

    @property
    def present(self) -> np.ndarray:
        """Class indices that have a positive pixel."""
        return np.flatnonzero(self.counts[:, 1].sum(axis=1))

    def precision(self, class_index: int | None = None) -> np.ndarray:
        """Share of positive pixels among those predicted so, by threshold.

        Args:
            class_index (int | None): Defaults to None, all pixels whatever their class.

        Returns:
            np.ndarray: (bins + 1,) float64 in [0, 1]; NaN where nothing is predicted.
        """
        negative, positive = self._at_least(class_index)
        with np.errstate(invalid='ignore'):
            return positive / (negative + positive)

    def recall(self, class_index: int | None = None) -> np.ndarray:
        """Share of the positive pixels that are predicted, by threshold; (bins + 1,) float64, NaN without positives.

        Args:
            class_index (int | None): Defaults to None, all pixels whatever their class.
        """
        _, positive = self._at_least(class_index)
        with np.errstate(invalid='ignore'):
            return positive / positive[0]

    def average_precision(self, class_index: int | None = None) -> float:
        """Area under precision over recall: the mean precision at which positive pixels are found.

        Args:
            class_index (int | None): Defaults to None, all pixels whatever their class.

        Returns:
            float: In [0, 1], NaN without positive pixels. Those between two thresholds are found at once.
        """
        precision, recall = self.precision(class_index), self.recall(class_index)
        found = recall - np.append(recall[1:], 0)
        return float(np.sum(np.where(found == 0, 0, found * precision)))  # NaN * 0 is NaN

    def index(self, threshold: float) -> int:
        """Position of a threshold.

        Raises:
            ValueError: If it is no multiple of 1 / bins in [0, 1].
        """
        position = round(threshold * self.bins)
        if not 0 <= position <= self.bins or abs(position / self.bins - threshold) > 1e-9:
            raise ValueError(f'threshold must be a multiple of 1/{self.bins} in [0, 1], got {threshold}')
        return position

    def mean_curve(self, classes: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall by threshold, each the mean over classes.

        Args:
            classes (Sequence[int] | None): Class indices; those without a positive pixel are left out. Defaults to
                None, all.

        Returns:
            tuple[np.ndarray, np.ndarray]: (bins + 1,) float64 each. The precision is NaN where nothing is predicted in
            some class: a mean over fewer and fewer classes would jump.
        """
        chosen = self._present_among(classes)
        if not chosen:
            return np.full_like(self.thresholds, np.nan), np.full_like(self.thresholds, np.nan)
        return (
            np.mean([self.precision(index) for index in chosen], axis=0),
            np.mean([self.recall(index) for index in chosen], axis=0),
        )

    def mean_average_precision(self, classes: Sequence[int] | None = None) -> float:
        """Mean of the average precision over classes, see :meth:`mean_curve`; NaN without any."""
        values = [self.average_precision(index) for index in self._present_among(classes)]
        return float(np.mean(values)) if values else float('nan')

    def _present_among(self, classes: Sequence[int] | None) -> list[int]:
        return [index for index in self.present.tolist() if classes is None or index in classes]

    def _at_least(self, class_index: int | None) -> np.ndarray:
        """Negative and positive pixels with at least each threshold: (2, bins + 1) int64."""
        counts = self.counts.sum(axis=0) if class_index is None else self.counts[class_index]
        return counts[:, ::-1].cumsum(axis=1)[:, ::-1]
