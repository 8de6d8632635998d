"""Class activation maps of several views of an image, put together and made into labels.

Image labels alone tell neither where an object ends nor how high a map must be to count. Common practice, of which
these functions are the parts: views at several scales and mirrored, their maps normalised in the image, and a constant
score for the background.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .class_maps import MIN_RANGE, max_normalised


def merge_views(
    views: Sequence[Sequence[Tensor]], flip: str = 'max', clip: str = 'view', normalise: str = 'max'
) -> Tensor:
    """Activation maps of an image from those of its views.

    Args:
        views (Sequence[Sequence[Tensor]]): For each scale the maps of the view and, if it is mirrored too, those of its
            mirror image turned back: (C, H, W) float each, of one size. May be below zero.
        flip (str): A scale's maps are the 'max' of both (visual words), or their 'mean' (SEAM; its sums differ by a
            factor alone). Defaults to 'max'.
        clip (str): What is below zero becomes zero in every 'view' (visual words), or in the 'sum' over the scales
            (SEAM). Defaults to 'view'.
        normalise (str): In the image, each class is divided by its maximum ('max', visual words), or stretched from its
            minimum to its maximum ('range', SEAM). Defaults to 'max'.

    Returns:
        Tensor: (C, H, W) in [0, 1).

    Raises:
        ValueError: For another value.
    """
    for name, value, allowed in (
        ('flip', flip, ('max', 'mean')),
        ('clip', clip, ('view', 'sum')),
        ('normalise', normalise, ('max', 'range')),
    ):
        if value not in allowed:
            raise ValueError(f'{name} must be one of {allowed}, got {value!r}')
    scales = []
    for scale in views:
        maps = torch.stack([view.relu() if clip == 'view' else view for view in scale])
        scales.append(maps.amax(dim=0) if flip == 'max' else maps.mean(dim=0))
    total = torch.stack(scales).sum(dim=0).relu()
    if normalise == 'range':
        return max_normalised(total)
    return total / (total.amax(dim=(1, 2), keepdim=True) + MIN_RANGE)


def constant_background(maps: Tensor, level: float = 0.14) -> Tensor:
    """Background score that is the same everywhere.

    Args:
        maps (Tensor): Normalised activation maps, (C, H, W).
        level (float): Defaults to 0.14 (visual words, ResNet-50).

    Returns:
        Tensor: (H, W).
    """
    return maps.new_full(maps.shape[1:], level)


def power_background(maps: Tensor, power: float = 24.0) -> Tensor:
    r"""Background score from the highest map, :math:`(1 - \max_c m_c)^\alpha` (AffinityNet).

    Args:
        maps (Tensor): Normalised activation maps, (C, H, W) in [0, 1].
        power (float): alpha; the higher, the less is background. Defaults to 24.0.

    Returns:
        Tensor: (H, W) in [0, 1]; 1 without classes.
    """
    highest = maps.amax(dim=0) if len(maps) else maps.new_zeros(maps.shape[1:])
    return (1 - highest) ** power
