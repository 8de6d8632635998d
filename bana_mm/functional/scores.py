"""How much each pixel looks like the object of a box, and how much like background (paper Eq. 5 and 7).

All functions work on one image with C object classes. Boxes are (K, 4) int64 pixels from
:func:`bana_mm.functional.pixel_boxes`; the scores of box k are a (y2 - y1, x2 - x1) tensor.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def activation_scores(
    activation: Tensor,
    boxes: Tensor,
    rows: Sequence[int],
    unseen: Tensor,
    normalise: str = 'box',
    empty: str = 'unseen',
) -> tuple[list[Tensor], Tensor]:
    r"""Class unaries u_c from class activation maps, box by box (paper Eq. 5).

    .. math:: u_c(p) = \mathrm{CAM}_c(p) / \max \mathrm{CAM}_c \text{ for } p \in B_c

    A box in which the CAM of its class is zero everywhere takes ``unseen`` in place of the CAM, divided by its maximum
    inside the box: the paper's answer for classes without a classifier. Where that is zero too (the box looks like
    nothing but background) the whole box counts, so that no box is left without a score. With ``empty='zero'`` such a
    box keeps its zeros.

    Args:
        activation (Tensor): CAM of each class, (C, H, W), >= 0.
        boxes (Tensor): (K, 4) int64, xyxy in pixels.
        rows (Sequence[int]): Class map of each box, 0..C-1.
        unseen (Tensor): Foreground likelihood without a class, 1 - A, (H, W), >= 0.
        normalise (str): 'box' divides by the maximum inside each box (reference code), 'image' by the maximum in the
            image (paper). Defaults to 'box'.
        empty (str): What a box gets whose CAM is zero everywhere: 'unseen' (ours, and the paper's for classes without a
            classifier) or 'zero' (reference code). Defaults to 'unseen'.

    Returns:
        tuple[list[Tensor], Tensor]: u in each box, in [0, 1], and which boxes took ``unseen``, (K,) bool.

    Raises:
        ValueError: For another ``normalise`` or ``empty``.
    """
    if normalise not in ('box', 'image'):
        raise ValueError(f"normalise must be 'box' or 'image', got {normalise!r}")
    if empty not in ('unseen', 'zero'):
        raise ValueError(f"empty must be 'unseen' or 'zero', got {empty!r}")
    scores = []
    is_unseen = torch.zeros(len(boxes), dtype=torch.bool, device=activation.device)
    for k, (row, (x1, y1, x2, y2)) in enumerate(zip(rows, boxes.tolist())):
        inside = (slice(y1, y2), slice(x1, x2))
        cam = activation[row][inside]
        is_unseen[k] = (cam.max() == 0) & (empty == 'unseen')
        peak = cam.max() if normalise == 'box' else activation[row].max()
        likelihood = unseen[inside] + 1e-6  # all ones rather than rounding errors where A is 1
        scores.append(torch.where(is_unseen[k], likelihood / likelihood.max(), _divide_by_peak(cam, peak)))
    return scores, is_unseen


def stretch_in_boxes(values: Tensor, boxes: Tensor) -> list[Tensor]:
    """A map inside each box, stretched to the range from 0 to 1 (ours).

    Inside a box the attention varies little: a few hundredths above the values that it has outside. What counts for
    telling the object from what surrounds it in the box is where it is high for this box.

    Args:
        values (Tensor): (H, W) float.
        boxes (Tensor): (K, 4) int64, xyxy in pixels.

    Returns:
        list[Tensor]: For each box a map with minimum 0 and maximum 1, or all 0 where the values are constant.
    """
    inside = [values[y1:y2, x1:x2] for x1, y1, x2, y2 in boxes.tolist()]
    return [_divide_by_peak(part - part.min(), part.max() - part.min()) for part in inside]


def background_score(attention: Tensor, threshold: float | None = 0.99, relative: bool = True) -> Tensor:
    """Background unary u_0 from the attention (paper Eq. 7), zero below a threshold.

    Args:
        attention (Tensor): A, (H, W) in [0, 1], not set to 1 outside the boxes.
        threshold (float | None): Values below it become zero; None keeps all. Defaults to 0.99 (paper).
        relative (bool): Whether the threshold is a share of the image's maximum (reference code) or of 1 (paper).
            Defaults to True.

    Returns:
        Tensor: u_0, (H, W) in [0, 1].
    """
    if threshold is None:
        return attention
    level = threshold * attention.max() if relative else threshold
    return torch.where(attention < level, 0, attention)


def stretched_background_score(values: Tensor, boxes: Tensor, threshold: float | None = None) -> Tensor:
    """Background unary u_0 from a map that is high on background, stretched in each box (ours).

    Args:
        values (Tensor): Attention or the background's CAM, (H, W) float.
        boxes (Tensor): (K, 4) int64, xyxy in pixels.
        threshold (float | None): The score is 1 where the stretched map is at least this and 0 below; None keeps the
            stretched map. Defaults to None.

    Returns:
        Tensor: u_0, (H, W) in [0, 1]; in a pixel of several boxes the smallest of theirs, 1 outside all boxes.
    """
    score = torch.ones_like(values)
    for stretched, (x1, y1, x2, y2) in zip(stretch_in_boxes(values, boxes), boxes.tolist()):
        inside = score[y1:y2, x1:x2]
        torch.minimum(inside, stretched if threshold is None else (stretched >= threshold).to(values), out=inside)
    return score


def background_activation_score(activation: Tensor) -> Tensor:
    """Background unary u_0 from the background classifier's CAM, divided by its maximum (the paper's ablation).

    Args:
        activation (Tensor): CAM of the background class, (H, W), >= 0.

    Returns:
        Tensor: u_0, (H, W) in [0, 1].
    """
    return _divide_by_peak(activation, activation.max())


def recognised_boxes(activation: Tensor, boxes: Tensor, rows: Sequence[int], min_share: float) -> Tensor:
    """Boxes in which the classifier sees more of their class than of the background (ours).

    A class that training has hardly shown looks like background to the classifier. In its boxes the background's CAM is
    high on the object, too, so that it tells nothing about where the object ends.

    Args:
        activation (Tensor): CAM of the background and of each class, (C + 1, H, W), >= 0.
        boxes (Tensor): (K, 4) int64, xyxy in pixels.
        rows (Sequence[int]): Class map of each box, 0..C-1.
        min_share (float): Least share of the pixels of a box in which its class must exceed the background.

    Returns:
        Tensor: (K,) bool.
    """
    background, classes = activation[0], activation[1:]
    shares = [
        (classes[row, y1:y2, x1:x2] > background[y1:y2, x1:x2]).float().mean()
        for row, (x1, y1, x2, y2) in zip(rows, boxes.tolist())
    ]
    return torch.stack(shares) >= min_share if shares else torch.ones(0, dtype=torch.bool, device=activation.device)


def _divide_by_peak(values: Tensor, peak: Tensor) -> Tensor:
    """Divide by a maximum, which may be zero only where all values are."""
    return values / torch.where(peak > 0, peak, torch.ones_like(peak))
