"""Scores to the probabilities that the label CRF starts from, and scores to labels (paper Sec. 3.2).

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


def class_scores(
    box_scores: Sequence[Tensor],
    boxes: Tensor,
    rows: Sequence[int],
    num_rows: int,
    image_size: tuple[int, int],
    overlap: str = 'maximum',
) -> Tensor:
    """Class unaries u_c from the scores of the boxes: zero outside the boxes of a class (paper Eq. 5).

    Args:
        box_scores (Sequence[Tensor]): u in each box, (y2 - y1, x2 - x1) in [0, 1].
        boxes (Tensor): (K, 4) int64, xyxy in pixels.
        rows (Sequence[int]): Class map of each box, 0..C-1.
        num_rows (int): Number of class maps, C.
        image_size (tuple[int, int]): Height and width of the image in pixels.
        overlap (str): What counts where boxes of one class overlap: 'maximum', the larger score (ours), or 'later',
            that of the later box (reference code, whose labels so depend on the order of the boxes). Defaults to
            'maximum'.

    Returns:
        Tensor: u, (C, H, W) in [0, 1], on the device of the scores.

    Raises:
        ValueError: For another ``overlap``.
    """
    if overlap not in ('maximum', 'later'):
        raise ValueError(f"overlap must be 'maximum' or 'later', got {overlap!r}")
    device = box_scores[0].device if len(box_scores) else boxes.device
    scores = torch.zeros(num_rows, *image_size, device=device)
    for score, row, (x1, y1, x2, y2) in zip(box_scores, rows, boxes.tolist()):
        inside = scores[row, y1:y2, x1:x2]
        if overlap == 'later':
            inside.copy_(score)
        else:
            torch.maximum(inside, score, out=inside)
    return scores


def unary_probability(
    background: Tensor,
    scores: Tensor,
    regions: Tensor,
    unknown: Tensor | None = None,
    temperature: float | None = 1.0,
    competition: str = 'image',
) -> Tensor:
    """Probabilities of background and classes for the CRF.

    Inside the boxes (u_0, u_1, .., u_C) go through a softmax (reference code). One class and the background lie in
    [0.27, 0.73], and the CRF carves the objects out from the outside, which is background for certain.

    Args:
        background (Tensor): u_0, (H, W) in [0, 1].
        scores (Tensor): u_c, (C, H, W) in [0, 1].
        regions (Tensor): Pixels inside the boxes of each class, (C, H, W) bool.
        unknown (Tensor | None): Pixels of which nothing is known, (H, W) bool: outside these boxes they are uniform
            instead of background, so that they pull the CRF in no direction. Defaults to None.
        temperature (float | None): Of the softmax. None divides by the sum in place of the softmax (uniform where all
            are zero). Defaults to 1.0.
        competition (str): With 'image' a class that has no box at a pixel takes part with u_c = 0 (reference code);
            with 'pixel' it is left out (ours). Defaults to 'image'.

    Returns:
        Tensor: (C + 1, H, W), sums to one over the rows.
    """
    scores = torch.cat([background[None], scores])  # (C + 1, H, W)
    takes_part = torch.ones_like(scores, dtype=torch.bool)
    if competition == 'pixel':
        takes_part[1:] = regions
    if temperature is None:
        total = scores.sum(dim=0)
        inside = torch.where(total > 0, scores / total.masked_fill(total == 0, 1), takes_part / takes_part.sum(dim=0))
    else:
        inside = (scores / temperature).masked_fill(~takes_part, -torch.inf).softmax(dim=0)
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
