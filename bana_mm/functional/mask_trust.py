"""What speaks for or against the mask of a box, without knowing the true one (ours). numpy only.

Masks are bool on the pixels of their box, (y2 - y1, x2 - x1).
"""

from collections.abc import Sequence

import numpy as np

# Which way the edges (x1, y1, x2, y2) move: along one diagonal, then along the other. Each moves out once and in once.
_MOVES = np.array([[-1, 1, -1, 1], [1, -1, 1, -1]])


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks of one shape, 1 where both are empty.

    Args:
        first (np.ndarray): Any shape, bool.
        second (np.ndarray): The same shape, bool.

    Raises:
        ValueError: If the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f'masks must have one shape, got {first.shape} and {second.shape}')
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def threshold_band(scores: np.ndarray, offset: float, threshold: float = 0.0) -> np.ndarray:
    """The pixels of which a small change of the threshold would decide.

    The IoU of the mask without them and the mask with them (:func:`doubt_stability`) is the stability score of SAM's
    automatic mask generator (Kirillov et al. 2023, Sec. 5).

    Args:
        scores (np.ndarray): (h, w) float, logits or log-odds; the mask is where they exceed the threshold.
        offset (float): By how much the threshold is raised and lowered, >= 0.
        threshold (float): Defaults to 0.0.

    Returns:
        np.ndarray: (h, w) bool.
    """
    return (scores > threshold - offset) & ~(scores > threshold + offset)


def doubt_stability(mask: np.ndarray, doubtful: np.ndarray) -> float:
    """How much of a mask its doubtful pixels leave: IoU of the smallest and the largest mask that they allow.

    Of pixels in which two opinions on the object differ, such as Y_crf and Y_ret, it is the IoU of these two.

    Args:
        mask (np.ndarray): (h, w) bool.
        doubtful (np.ndarray): (h, w) bool, pixels inside or outside the mask.

    Returns:
        float: In [0, 1]; 0 where mask and doubtful pixels are empty.
    """
    largest = mask | doubtful
    return mask_iou(mask & ~doubtful, largest) if largest.any() else 0.0


def jittered_boxes(
    boxes: np.ndarray, image_size: tuple[int, int], shift: float = 0.05, min_shift: int = 1
) -> np.ndarray:
    """Boxes that are a few pixels off, as another annotator might have drawn them: always the same two of each.

    The first is moved to the left and down, the second to the right and up, so that each edge moves once outwards and
    once inwards. Both keep at least one pixel of the box; at the edges of the image they may be the box itself.

    Args:
        boxes (np.ndarray): (K, 4) int, xyxy in whole pixels, half-open, not empty, inside the image.
        image_size (tuple[int, int]): Height and width of the image in pixels.
        shift (float): By which share of a box's width and height its edges move. Defaults to 0.05.
        min_shift (int): At least this many pixels. Defaults to 1.

    Returns:
        np.ndarray: (2, K, 4) int64, likewise.
    """
    boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    lengths = np.tile(boxes[:, 2:] - boxes[:, :2], 2)  # (K, 4)
    outwards = np.maximum(np.rint(shift * lengths).astype(np.int64), min_shift)
    inwards = np.minimum(outwards, (lengths - 1) // 2)  # both edges of a box may move so far and leave a pixel
    grows = _MOVES == [-1, -1, 1, 1]
    moved = boxes + _MOVES[:, None] * np.where(grows[:, None], outwards, inwards)
    height, width = image_size
    return np.clip(moved, 0, [width, height, width, height])


def jitter_stability(
    mask: np.ndarray, box: Sequence[int], others: Sequence[np.ndarray], other_boxes: Sequence[Sequence[int]]
) -> tuple[float | None, np.ndarray]:
    """How much a mask depends on where exactly its box is.

    A mask is compared with each other one on the pixels that both boxes have: outside of them nothing was asked. Boxes
    that are the box itself tell nothing and don't count.

    Args:
        mask (np.ndarray): (y2 - y1, x2 - x1) bool, on the pixels of the box.
        box (Sequence[int]): xyxy in whole pixels, half-open.
        others (Sequence[np.ndarray]): Masks of the same object from other boxes, each on the pixels of its own.
        other_boxes (Sequence[Sequence[int]]): These boxes; each overlaps with the first.

    Returns:
        tuple[float | None, np.ndarray]: Mean IoU, None where no other box counts; and the pixels of the box in which
        any other mask differs, (y2 - y1, x2 - x1) bool.
    """
    flipped = np.zeros_like(mask)
    ious = []
    for other, other_box in zip(others, other_boxes):
        if list(other_box) == list(box):
            continue
        x1, y1 = max(box[0], other_box[0]), max(box[1], other_box[1])
        x2, y2 = min(box[2], other_box[2]), min(box[3], other_box[3])
        ours = (slice(y1 - box[1], y2 - box[1]), slice(x1 - box[0], x2 - box[0]))
        theirs = (slice(y1 - other_box[1], y2 - other_box[1]), slice(x1 - other_box[0], x2 - other_box[0]))
        ious.append(mask_iou(mask[ours], other[theirs]))
        flipped[ours] |= mask[ours] != other[theirs]
    return (float(np.mean(ious)) if ious else None), flipped


def side_gaps(mask: np.ndarray) -> np.ndarray:
    """How far a mask stays away from the sides of its box. Boxes are tight: the true mask touches all four.

    Args:
        mask (np.ndarray): (h, w) bool, on the pixels of the box.

    Returns:
        np.ndarray: (4,) float64, at the left, top, right and bottom, as shares of the width and height; 1 for an empty
        mask.
    """
    if not mask.any():
        return np.ones(4)
    gaps = []
    for axis in (0, 1):
        line = np.atleast_1d(mask.any(axis=axis))  # the columns, then the rows
        first, last = line.argmax(), len(line) - 1 - line[::-1].argmax()
        gaps.append((first / len(line), (len(line) - 1 - last) / len(line)))
    (left, right), (top, bottom) = gaps
    return np.array([left, top, right, bottom])


def extent_share(mask: np.ndarray) -> float:
    """Which share of the box the smallest box around the mask has: 1 for a mask that touches all four sides."""
    left, top, right, bottom = side_gaps(mask)
    return float(max(1 - left - right, 0) * max(1 - top - bottom, 0))
