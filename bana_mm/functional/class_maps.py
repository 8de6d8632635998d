"""What a classifier's logits say about every cell, as the feature similarity loss compares it.

Symbols: N images, L object classes, a grid of h x w cells. Maps of background and classes have L + 1 channels,
background first.
"""

import torch
from torch import Tensor

from .precision import at_least_float32

MIN_RANGE = 1e-5


def max_normalised(logits: Tensor, eps: float = MIN_RANGE) -> Tensor:
    r"""Class activation maps stretched to the range from 0 to 1.

    .. math:: \frac{\mathrm{ReLU}(m(p) - \min m - \epsilon)}{\max m - \min m + \epsilon}, \quad m = \mathrm{ReLU}(z)

    with minimum and maximum over the cells of an image and class, through which gradients go (reference code). Where z
    is nowhere above zero all is zero, without gradient.

    Args:
        logits (Tensor): z, (..., h, w) float.
        eps (float): Defaults to 1e-5 (reference code).

    Returns:
        Tensor: In [0, 1), of the same shape.
    """
    maps = logits.relu()
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    return (maps - low - eps).relu() / (high - low + eps)


def class_predictions(logits: Tensor, present: Tensor, kind: str = 'maxnorm') -> Tensor:
    """Maps of background and the classes of an image, the others zero.

    The background is 1 minus the largest of the classes, but for 'softmax'.

    Args:
        logits (Tensor): z of the L classes, (N, L, h, w) float; for 'softmax' a background's may come first,
            (N, L + 1, h, w), and is taken as 0 otherwise.
        present (Tensor): Classes of each image, (N, L) bool, or 0 and 1; or the cells at which each may be, (N, L, h,
            w).
        kind (str): 'maxnorm', :func:`max_normalised` (reference code); 'sigmoid', the binomial posteriors; 'softmax',
            the multinomial ones over background and classes (the predecessor). Defaults to 'maxnorm'.

    Returns:
        Tensor: (N, L + 1, h, w) in [0, 1], float32 at least.

    Raises:
        ValueError: For another kind or number of classes.
    """
    if kind not in ('maxnorm', 'sigmoid', 'softmax'):
        raise ValueError(f"kind must be 'maxnorm', 'sigmoid' or 'softmax', got {kind!r}")
    own = logits.size(1) - present.size(1)
    if own not in (0, 1):
        raise ValueError(f'logits of {logits.size(1)} classes do not fit labels of {present.size(1)}')
    logits = at_least_float32(logits)
    present = present.to(logits.dtype)
    if present.dim() == 2:
        present = present[:, :, None, None]
    if kind == 'softmax':
        if not own:
            logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
        return logits.softmax(dim=1) * torch.cat([torch.ones_like(present[:, :1]), present], dim=1)
    classes = logits[:, own:]
    classes = (max_normalised(classes) if kind == 'maxnorm' else classes.sigmoid()) * present
    return torch.cat([1 - classes.amax(dim=1, keepdim=True), classes], dim=1)


def box_predictions(logits: Tensor, regions: Tensor) -> Tensor:
    """Probabilities of the background and of the classes that have a box at a cell (ours).

    Inside one box that is a softmax over the background and its own class; outside all boxes the background is certain.

    Args:
        logits (Tensor): z, (N, L + 1, h, w) float, background first.
        regions (Tensor): Cells inside the boxes of each class, (N, L, h, w) bool.

    Returns:
        Tensor: (N, L + 1, h, w), sums to one over the channels; float32 at least.
    """
    logits = at_least_float32(logits)
    possible = torch.cat([torch.ones_like(regions[:, :1]), regions], dim=1)
    return logits.masked_fill(~possible, -torch.inf).softmax(dim=1)
