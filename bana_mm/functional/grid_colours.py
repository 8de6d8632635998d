"""Colours of the cells of a feature grid."""

import torch.nn.functional as F
from torch import Tensor


def grid_colours(
    images: Tensor,
    size: tuple[int, int],
    mode: str = 'bilinear',
    stride: int = 8,
    align_corners: bool = True,
    visible: Tensor | None = None,
) -> Tensor:
    """Images at the size of a feature grid.

    Args:
        images (Tensor): (N, 3, H, W) float.
        size (tuple[int, int]): Feature grid (h, w).
        mode (str): 'bilinear' samples the image, its corners on the grid's (reference code); 'area' averages all pixels
            that lie nearest to a cell (ours). Defaults to 'bilinear'.
        stride (int): Image pixels per cell, for 'area'. Defaults to 8.
        align_corners (bool): Where the cells lie, see :func:`bana_mm.functional.roi_weights`; for 'area'. Defaults to
            True.
        visible (Tensor | None): Pixels that are no padding, (N, 1, H, W) bool; 'area' averages over these alone, and
            gives 0 where there is none. Defaults to None, all.

    Returns:
        Tensor: (N, 3, h, w).

    Raises:
        ValueError: For another mode, or if the grid does not fit the stride.
    """
    if mode == 'bilinear':
        return F.interpolate(images, size, mode='bilinear', align_corners=True)
    if mode != 'area':
        raise ValueError(f"mode must be 'bilinear' or 'area', got {mode!r}")
    weight = images.new_ones(len(images), 1, *images.shape[2:]) if visible is None else visible.to(images.dtype)
    padding = stride // 2 if align_corners else 0
    sums, share = (
        F.avg_pool2d(values, stride, stride, padding, ceil_mode=True, divisor_override=1)
        for values in (images * weight, weight)
    )
    height, width = size
    if sums.size(2) < height or sums.size(3) < width:
        raise ValueError(
            f'images of {images.size(2)} x {images.size(3)} pixels have {sums.size(2)} x {sums.size(3)} cells of '
            f'stride {stride}, but the grid has {height} x {width}: correct the stride'
        )
    return (sums / share.clamp(min=1))[:, :, :height, :width]
