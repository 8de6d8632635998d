"""Labels made worse or better on purpose, to see on what kinds of labels a loss helps (ours).

All functions take and give (H, W) uint8 label maps of one image, 0 background, 1..L classes, 255 ignored.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from bana_mm.structures import IGNORE, BoxLayout, paint_masks


def grow(label: np.ndarray, layout: BoxLayout, pixels: int) -> np.ndarray:
    """Move the edges of all objects outwards or inwards.

    Args:
        label (np.ndarray): (H, W) uint8.
        layout (BoxLayout): Boxes of the image.
        pixels (int): By how many pixels, in a square neighbourhood. Positive: background becomes an object, in a box of
            its class only. Negative: the object's rim becomes background; what lies at the image's edge stays.

    Returns:
        np.ndarray: (H, W) uint8.
    """
    kernel = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    result = label.copy()
    if pixels < 0:
        # 255 is nobody's background: only where 0 is near does an object end
        near = cv2.dilate((label == 0).astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        result[(near > 0) & (label != IGNORE)] = 0
        return result
    for value, region in zip(layout.by_class().classes[1:], layout.by_class().regions().numpy()):
        near = cv2.dilate((label == value).astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        result[(near > 0) & region & (label == 0)] = value
    return result


def fill_boxes(label: np.ndarray, layout: BoxLayout, share: float, rng: np.random.Generator) -> np.ndarray:
    """Give some boxes all of the background that they hold.

    Args:
        label (np.ndarray): (H, W) uint8.
        layout (BoxLayout): Boxes of the image.
        share (float): Probability of each box, 0 to 1.
        rng (np.random.Generator): Draws them.

    Returns:
        np.ndarray: (H, W) uint8. Where chosen boxes overlap the smaller one is in front.
    """
    chosen = rng.random(len(layout.boxes)) < share
    masks = [np.full((y2 - y1, x2 - x1), one) for one, (x1, y1, x2, y2) in zip(chosen, layout.boxes.tolist())]
    return np.where(label == 0, paint_masks(layout, masks), label)


def correct_doubted(
    y_crf: np.ndarray, y_ret: np.ndarray, ground_truth: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Correct doubted labels, so that they stay doubted but are right more often.

    Each connected region of doubted pixels with a wrong label is corrected as a whole or left as it is.

    Args:
        y_crf (np.ndarray): (H, W) uint8.
        y_ret (np.ndarray): (H, W) uint8; pixels where it differs from ``y_crf`` are doubted.
        ground_truth (np.ndarray): (H, W) uint8; where it is 255 nothing is corrected.
        share (float): Probability of each region, 0 to 1.
        rng (np.random.Generator): Draws them.

    Returns:
        tuple[np.ndarray, np.ndarray]: ``y_crf``, corrected, and ``y_ret`` with 255 at all doubted pixels.
    """
    doubted = y_crf != y_ret
    wrong = doubted & (y_crf != ground_truth) & (y_crf != IGNORE) & (ground_truth != IGNORE)
    count, regions = cv2.connectedComponents(wrong.astype(np.uint8), connectivity=8)
    chosen = rng.random(count) < share
    chosen[0] = False  # number 0 is everything else
    return np.where(chosen[regions], ground_truth, y_crf), np.where(doubted, np.uint8(IGNORE), y_ret)


def change_labels(
    change: str,
    amount: float,
    maps: Mapping[str, np.ndarray],
    ground_truth: np.ndarray,
    layout: BoxLayout,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """One of the changes of this module, by name.

    Args:
        change (str): 'grow', 'fill_boxes' or 'correct_doubted'.
        amount (float): Its ``pixels`` or ``share``.
        maps (Mapping[str, np.ndarray]): ``Y_crf`` and ``Y_ret``, (H, W) uint8.
        ground_truth (np.ndarray): (H, W) uint8.
        layout (BoxLayout): Boxes of the image.
        rng (np.random.Generator): For what is drawn.

    Returns:
        dict[str, np.ndarray]: Both maps. The first two changes leave ``Y_ret`` as it is.

    Raises:
        ValueError: For another name.
    """
    y_crf, y_ret = maps['Y_crf'], maps['Y_ret']
    if change == 'grow':
        y_crf = grow(y_crf, layout, int(amount))
    elif change == 'fill_boxes':
        y_crf = fill_boxes(y_crf, layout, amount, rng)
    elif change == 'correct_doubted':
        y_crf, y_ret = correct_doubted(y_crf, y_ret, ground_truth, amount, rng)
    else:
        raise ValueError(f"labels are changed by 'grow', 'fill_boxes' or 'correct_doubted', not {change!r}")
    return dict(Y_crf=y_crf, Y_ret=y_ret)
