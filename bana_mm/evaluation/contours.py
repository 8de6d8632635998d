"""Contours of label maps against those of the ground truth: the F-measure of Perazzi et al. (DAVIS, 2016)."""

import argparse
import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from bana_mm.structures import IGNORE

# Share of an image's diagonal by which a contour may lie off: 5 pixels at 500 x 375.
TOLERANCE = 0.008


def contour(mask: np.ndarray) -> np.ndarray:
    """The contour of a region: pixels that differ from the next to the right, below, or both.

    It is one pixel wide, lies at the upper left of the edge between two pixels, and leaves out the image's border.

    Args:
        mask (np.ndarray): (H, W) bool.

    Returns:
        np.ndarray: (H, W) bool.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')  # equal to its neighbour: no contour
    here = padded[:-1, :-1]
    return (here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:])


def tolerance_pixels(size: tuple[int, int], tolerance: float = TOLERANCE) -> int:
    """By how many pixels a contour may lie off.

    Args:
        size (tuple[int, int]): Height and width of the image in pixels.
        tolerance (float): Below 1 a share of the image's diagonal, rounded up; else pixels. Defaults to 0.008.
    """
    return math.ceil(tolerance * math.hypot(*size) if tolerance < 1 else tolerance)


def contour_matches(ground_truth: np.ndarray, prediction: np.ndarray, pixels: int) -> tuple[int, int, int, int]:
    """Compare the contours of two regions.

    Args:
        ground_truth (np.ndarray): (H, W) bool.
        prediction (np.ndarray): (H, W) bool.
        pixels (int): Distance at which a pixel of one contour still matches one of the other.

    Returns:
        tuple[int, int, int, int]: Pixels of the predicted contour that match the ground truth's, all of them, pixels of
        the true contour that match the prediction's, all of them.
    """
    true, predicted = contour(ground_truth), contour(prediction)
    return (
        int((predicted & _dilated(true, pixels)).sum()),
        int(predicted.sum()),
        int((true & _dilated(predicted, pixels)).sum()),
        int(true.sum()),
    )


class ContourCounts:
    r"""Contours of label maps against the ground truth, counted image by image.

    .. math:: F_c = \frac{2 P_c R_c}{P_c + R_c}

    with the precision and recall of a class's contour pixels, each summed over all images. Pixels without a class (255)
    count as background, in ground truth and prediction. The background has no contour of its own.

    Args:
        num_classes (int): Number L of object classes; maps hold 0..L and 255.
        tolerance (float): See :func:`tolerance_pixels`. Defaults to 0.008.

    Attributes:
        counts (np.ndarray): (L, 5) int64: of each class what :func:`contour_matches` gives, and the ground truth's
            pixels.

    Raises:
        ValueError: For a negative tolerance.
    """

    def __init__(self, num_classes: int, tolerance: float = TOLERANCE) -> None:
        if not tolerance >= 0:
            raise ValueError(f'tolerance of contours must not be negative, got {tolerance}')
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.counts = np.zeros((num_classes, 5), dtype=np.int64)

    def update(self, ground_truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count the contours of an image.

        Args:
            ground_truth (np.ndarray): (H, W) int, class indices and 255.
            prediction (np.ndarray): (H, W) int, likewise.

        Raises:
            ValueError: If the shapes differ or a class is out of range.
        """
        if ground_truth.shape != prediction.shape:
            raise ValueError(f'ground truth has shape {ground_truth.shape}, prediction {prediction.shape}')
        classes = set(np.unique(ground_truth)) | set(np.unique(prediction))
        pixels = tolerance_pixels(ground_truth.shape, self.tolerance)
        for index in sorted(int(one) for one in classes - {0, IGNORE}):
            if index > self.num_classes:
                raise ValueError(f'a map holds class {index}; allowed are 0..{self.num_classes} and {IGNORE}')
            true = ground_truth == index
            self.counts[index - 1] += (*contour_matches(true, prediction == index, pixels), int(true.sum()))

    def f_score(self) -> np.ndarray:
        """F of each object class: (L,) float64 in [0, 1]; 1 for a class without any contour (published convention)."""
        right, predicted, found, true, _ = self.counts.T
        precision = np.where(predicted > 0, right / np.maximum(predicted, 1), 1.0)
        recall = np.where(true > 0, found / np.maximum(true, 1), 1.0)
        recall = np.where((true == 0) & (predicted > 0), 0.0, recall)
        precision = np.where((predicted == 0) & (true > 0), 0.0, precision)
        total = precision + recall
        return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)

    def present(self) -> np.ndarray:
        """Object classes that the ground truth holds: (L,) bool."""
        return self.counts[:, 4] > 0

    def mean_f(self, classes: Sequence[int] | None = None) -> float:
        """Mean F over the object classes that the ground truth holds, as the mean IoU beside it.

        The published mean is over all classes, where one that occurs nowhere scores 1; both are the same on data in
        which all occur.

        Args:
            classes (Sequence[int] | None): Class indices to average over; the background's (0) is passed over.
                Defaults to None, all.

        Returns:
            float: In [0, 1]; NaN if the ground truth holds none of them.
        """
        chosen = self.present()
        if classes is not None:
            chosen &= np.isin(np.arange(1, self.num_classes + 1), list(classes))
        return float(self.f_score()[chosen].mean()) if chosen.any() else float('nan')


@lru_cache
def add_contours_option(parser: argparse.ArgumentParser) -> None:
    """``--contours [TOLERANCE]`` of the tools that compare label maps: None without it."""
    parser.add_argument(
        '--contours',
        nargs='?',
        type=float,
        const=TOLERANCE,
        metavar='TOLERANCE',
        help="also the contour F-measure; a contour may be off by this share of the image's diagonal (default: "
        '%(const)s), or from 1 on by so many pixels',
    )


def _disk(radius: int) -> np.ndarray:
    line = np.arange(-radius, radius + 1)
    return (line[:, None] ** 2 + line**2 <= radius**2).astype(np.uint8)


def _dilated(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Pixels at most so far from one of the mask."""
    if not pixels or not mask.any():
        return mask
    return cv2.dilate(mask.astype(np.uint8), _disk(pixels)).astype(bool)
