"""Hybrid spatial pyramid pooling (HSPP) of a visual words network (Ru et al., IJCAI 2021, Eq. 4).

Averaging all features of an object takes in background, their maximum sees a single point of it. The pyramid lies in
between: the mean of local maxima over grids of 1, 2 and 4 cells a side, and the average.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .pooling import background_aware_pool, roi_cells

LEVELS = (1, 2, 4)


def hybrid_pyramid_pool(
    feats: Tensor, levels: Sequence[int] = LEVELS, gamma: float = 2.0, exact: bool = False
) -> Tensor:
    r"""Hybrid spatial pyramid pooling of whole images (visual words Eq. 4).

    .. math:: f = \frac{1}{\gamma + 3} \Big( \sum_{r \in \{1, 2, 4\}} f_r^{max} + \gamma f^{gap} \Big)

    with :math:`f_r^{max}` the mean of the maxima in r x r windows. By default the windows of a level divide the map as
    evenly as cells can be, and overlap where they can't, so that every level works on a map of any size (ours).

    Args:
        feats (Tensor): F, (N, D, h, w) float.
        levels (Sequence[int]): Windows a side, r. Defaults to (1, 2, 4).
        gamma (float): Weight of the average. Defaults to 2.0 (reference code; the paper does not give it).
        exact (bool): Windows of ``h // r`` x ``w // r`` cells side by side, as in the reference code: more of them than
            r a side where h is no multiple of r, and rows and columns at the far end left out. Both are the same where
            it is one. Defaults to False.

    Returns:
        Tensor: (N, D).

    Raises:
        ValueError: If ``levels`` is empty or not positive, or with ``exact`` for a map of fewer cells than r a side.
    """
    _check(levels)
    height, width = feats.shape[2:]
    if not exact:
        return _weigh(_level_means(feats, levels), feats.mean(dim=(2, 3)), levels, gamma)
    if min(height, width) < max(levels):
        raise ValueError(
            f'exact=True needs a map of at least {max(levels)} x {max(levels)} cells for levels {tuple(levels)}, got '
            f'{height} x {width}; exact=False pools maps of any size'
        )
    maxima = torch.stack([F.max_pool2d(feats, (height // r, width // r)).mean(dim=(2, 3)) for r in levels]).sum(dim=0)
    return _weigh(maxima, feats.mean(dim=(2, 3)), levels, gamma)


def hybrid_box_pool(
    feats: Tensor,
    rois: Tensor,
    attention: Tensor | None,
    spatial_scale: float,
    output_size: int = 1,
    levels: Sequence[int] = LEVELS,
    gamma: float = 2.0,
    align_corners: bool = True,
    average: Tensor | None = None,
) -> Tensor:
    r"""Hybrid spatial pyramid pooling of boxes, with background-aware pooling as its average (ours).

    .. math::
        r_i = \frac{1}{\gamma + 3} \Big( \sum_{r \in \{1, 2, 4\}} \operatorname{mean}_{\text{windows}}
        \max_p (1 - A(p)) f(p) + \gamma \, r_i^{BAP} \Big)

    Features are not negative, so that weights of 1 - A keep the background from being a maximum. The maxima are those
    of the cells whose centres lie in a bin, see :func:`roi_cells`. The boxes' places are read back from the device.

    Args:
        feats (Tensor): Features f, (N, D, h, w) float, >= 0.
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        attention (Tensor | None): A, (N, 1, h, w) in [0, 1]. None means A = 0.
        spatial_scale (float): Feature cells per image pixel, 1 / stride.
        output_size (int): Bins a side, s, each pooled so on its own. Defaults to 1.
        levels (Sequence[int]): Windows a side, r. Defaults to (1, 2, 4).
        gamma (float): Weight of the average. Defaults to 2.0.
        align_corners (bool): See :func:`bana_mm.functional.roi_weights`. Defaults to True.
        average (Tensor | None): r^BAP, (K, D, s, s), where it is known already. Defaults to None,
            :func:`bana_mm.functional.background_aware_pool`.

    Returns:
        Tensor: r, (K, D, s, s).
    """
    _check(levels)
    if average is None:
        average = background_aware_pool(feats, rois, attention, spatial_scale, output_size, align_corners)
    if not len(rois):
        return average
    weighted = feats if attention is None else feats * (1 - attention)
    height, width = feats.shape[2:]
    cells = roi_cells(_bins(rois, output_size), (height, width), spatial_scale, align_corners).tolist()
    images = rois[:, 0].long().repeat_interleave(output_size**2).tolist()
    maxima = torch.cat(
        [
            _level_means(weighted[image : image + 1, :, y1:y2, x1:x2], levels)
            for image, (x1, y1, x2, y2) in zip(images, cells)
        ]
    )  # (K*s*s, D)
    maxima = maxima.unflatten(0, (len(rois), output_size, output_size)).permute(0, 3, 1, 2)
    return _weigh(maxima, average, levels, gamma)


def _check(levels: Sequence[int]) -> None:
    if not len(levels) or min(levels) < 1:
        raise ValueError(f'levels must be numbers of windows a side, at least 1 each, got {tuple(levels)}')


def _level_means(feats: Tensor, levels: Sequence[int]) -> Tensor:
    """Sum over the levels of the mean of local maxima: (N, D, h, w) -> (N, D)."""
    finest = F.adaptive_max_pool2d(feats, max(levels))
    # windows of a divisor are made of whole ones of the finest level, whatever the size of the map
    maxima = [F.adaptive_max_pool2d(feats if max(levels) % r else finest, r).mean(dim=(2, 3)) for r in levels]
    return torch.stack(maxima).sum(dim=0)


def _weigh(maxima: Tensor, average: Tensor, levels: Sequence[int], gamma: float) -> Tensor:
    return (maxima + gamma * average) / (gamma + len(levels))


def _bins(rois: Tensor, output_size: int) -> Tensor:
    """Each box cut into s x s, in row-major order: (K, 5) -> (K*s*s, 5)."""
    if output_size == 1:
        return rois
    step = torch.arange(output_size, device=rois.device)
    grid = torch.stack([step.repeat(output_size), step.repeat_interleave(output_size)], dim=1)  # (s*s, 2) xy
    extent = (rois[:, None, 3:] - rois[:, None, 1:3]) / output_size  # (K, 1, 2)
    low = rois[:, None, 1:3] + grid * extent  # (K, s*s, 2)
    index = rois[:, None, :1].expand(-1, len(grid), -1)
    return torch.cat([index, low, low + extent], dim=2).flatten(0, 1)
