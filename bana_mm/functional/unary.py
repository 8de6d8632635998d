"""Unary terms of the label CRF and the rule that turns scores into labels (paper Eq. 5 and 7).

All functions work on one image with C object classes. ``rows`` says to which of its class maps a box belongs, 0..C-1;
maps of background and classes together have C + 1 rows, background first. Boxes are (K, 4) int64 pixels from
:func:`bana_mm.functional.pixel_boxes`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def class_regions(boxes: Tensor, rows: Sequence[int], num_rows: int, image_size: tuple[int, int]) -> Tensor:
    """Pixels inside the boxes of each class, B_c in the paper.

    Args:
        boxes (Tensor): (K, 4) int64, xyxy in pixels.
        rows (Sequence[int]): Class map of each box, 0..C-1.
        num_rows (int): Number of class maps, C.
        image_size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        Tensor: (C, H, W) bool, on the device of the boxes.
    """
    regions = torch.zeros(num_rows, *image_size, dtype=torch.bool, device=boxes.device)
    for row, (x1, y1, x2, y2) in zip(rows, boxes.tolist()):
        regions[row, y1:y2, x1:x2] = True
    return regions


def class_scores(activation: Tensor, boxes: Tensor, rows: Sequence[int], unseen: Tensor,
                 normalise: str = 'box') -> tuple[Tensor, Tensor]:
    r"""Class unaries u_c from class activation maps (paper Eq. 5).

    .. math:: u_c(p) = \mathrm{CAM}_c(p) / \max \mathrm{CAM}_c \text{ for } p \in B_c, \text{ else } 0

    Where boxes of one class overlap the larger quotient counts (ours; in the reference code that of the later box,
    so that its labels depend on the order of the boxes). A box in which the CAM of its class is zero everywhere takes
    ``unseen`` in place of the CAM, divided by its maximum inside the box: the paper's answer for classes without a
    classifier. Where that is zero too (the box looks like nothing but background) the whole box counts, so that no box
    is left without a score.

    Args:
        activation (Tensor): CAM of each class, (C, H, W), >= 0.
        boxes (Tensor): (K, 4) int64, xyxy in pixels.
        rows (Sequence[int]): Class map of each box, 0..C-1.
        unseen (Tensor): Foreground likelihood without a class, 1 - A, (H, W), >= 0.
        normalise (str): 'box' divides by the maximum inside each box (reference code), 'image' by the maximum in the
            image (paper). Defaults to 'box'.

    Returns:
        tuple[Tensor, Tensor]: u, (C, H, W) in [0, 1], and which boxes took ``unseen``, (K,) bool.
    """
    if normalise not in ('box', 'image'):
        raise ValueError(f"normalise must be 'box' or 'image', got {normalise!r}")
    scores = torch.zeros_like(activation)
    is_unseen = torch.zeros(len(boxes), dtype=torch.bool, device=activation.device)
    for k, (row, (x1, y1, x2, y2)) in enumerate(zip(rows, boxes.tolist())):
        inside = (slice(y1, y2), slice(x1, x2))
        cam = activation[row][inside]
        is_unseen[k] = cam.max() == 0
        peak = cam.max() if normalise == 'box' else activation[row].max()
        likelihood = unseen[inside] + 1e-6  # all ones rather than rounding errors where A is 1
        score = torch.where(is_unseen[k], likelihood / likelihood.max(), _divide_by_peak(cam, peak))
        scores[row][inside] = torch.maximum(scores[row][inside], score)
    return scores, is_unseen


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


def background_activation_score(activation: Tensor) -> Tensor:
    """Background unary u_0 from the background classifier's CAM, divided by its maximum (the paper's ablation).

    Args:
        activation (Tensor): CAM of the background class, (H, W), >= 0.

    Returns:
        Tensor: u_0, (H, W) in [0, 1].
    """
    return _divide_by_peak(activation, activation.max())


def unary_probability(background: Tensor, scores: Tensor, regions: Tensor, unknown: Tensor | None = None,
                      temperature: float | None = 1.0) -> Tensor:
    """Probabilities of background and classes for the CRF.

    Inside the boxes (u_0, u_1, .., u_C) go through a softmax (reference code). A class that has no box at a pixel
    takes part with u_c = 0, so two classes lie in [0.27, 0.73] and the CRF carves the objects out from the outside,
    which is background for certain.

    Args:
        background (Tensor): u_0, (H, W) in [0, 1].
        scores (Tensor): u_c, (C, H, W) in [0, 1].
        regions (Tensor): Pixels inside the boxes of each class, (C, H, W) bool.
        unknown (Tensor | None): Pixels of which nothing is known, (H, W) bool: outside these boxes they are uniform
            instead of background, so that they pull the CRF in no direction. Defaults to None.
        temperature (float | None): Of the softmax. None divides by the sum in place of the softmax (uniform where all
            are zero). Defaults to 1.0.

    Returns:
        Tensor: (C + 1, H, W), sums to one over the rows.
    """
    scores = torch.cat([background[None], scores])  # (C + 1, H, W)
    if temperature is None:
        total = scores.sum(dim=0)
        inside = torch.where(total > 0, scores / total.masked_fill(total == 0, 1), 1 / len(scores))
    else:
        inside = (scores / temperature).softmax(dim=0)
    outside = torch.zeros_like(scores)
    outside[0] = 1
    if unknown is not None:
        outside = torch.where(unknown, 1 / len(scores), outside)
    return torch.where(regions.any(dim=0), inside, outside)


def label_rows(scores: Tensor, regions: Tensor) -> Tensor:
    """The best row at every pixel, where a class counts inside its own boxes only.

    Args:
        scores (Tensor): Posterior of the CRF or correlations, (C + 1, H, W), >= 0, background first.
        regions (Tensor): Pixels inside the boxes of each class, (C, H, W) bool.

    Returns:
        Tensor: (H, W) int64 in 0..C, 0 for background; the first of equal scores.
    """
    best = scores[0]
    rows = torch.zeros_like(best, dtype=torch.long)
    for row, (score, region) in enumerate(zip(scores[1:], regions), start=1):  # argmax(dim=0) is far slower on a CPU
        better = region & (score > best)
        best = torch.where(better, score, best)
        rows.masked_fill_(better, row)
    return rows


def _divide_by_peak(values: Tensor, peak: Tensor) -> Tensor:
    """Divide by a maximum, which may be zero only where all values are."""
    return values / torch.where(peak > 0, peak, torch.ones_like(peak))
