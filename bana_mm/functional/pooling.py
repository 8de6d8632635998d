"""Background-aware pooling (BAP, paper Eq. 4) as matrix products.

RoIAlign averages bilinear samples, so it is linear in the features: a bin is a row of weights over the h*w grid, and
because bin and samples are axis-aligned the row is the outer product of a weight vector over the rows and one over the
columns. Multiplied with 1 - A and normalised it gives Eq. 4; all bins of an image are one matrix product with its
features. Nothing of size K x D x h x w is ever built.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .precision import at_least_float32

# A bin's sum of 1 - A is taken to be at least this.
MIN_WEIGHT = 1e-6


def _bin_weights(low: Tensor, high: Tensor, length: int, bins: int) -> Tensor:
    """Weights of one axis: how much each grid line counts in each bin of RoIAlign.

    RoIAlign with an adaptive number of samples: ``ceil(extent / bins)`` evenly spaced points a bin, at least one. A RoI
    that reaches over the grid by more than a line is cut off there (ours).

    Args:
        low (Tensor): (K,) start of each RoI in grid coordinates (line i lies at i).
        high (Tensor): (K,) its end.
        length (int): Number of grid lines.
        bins (int): Bins a RoI.

    Returns:
        Tensor: (K, bins, length), each row summing to 1 for a RoI inside the grid.
    """
    touches = (high >= -1) & (low <= length)  # (K,)
    # Samples further out than this count as zero in RoIAlign; a RoI that is far larger would need any number of them.
    low, high = low.clamp(-1, length), high.clamp(-1, length)
    extent = (high - low).clamp(min=0)  # (K,)
    count = torch.ceil(extent / bins).clamp(min=1)  # (K,) samples a bin
    # A RoI on the grid spans at most `length` lines, so this many samples always suffice, known without a device sync.
    sample = torch.arange(length // bins + 2, device=low.device)  # (T,)
    fraction = (sample + 0.5) / count[:, None]  # (K, T) position within the bin
    bin_index = torch.arange(bins, device=low.device)
    offset = bin_index[:, None] + fraction[:, None]  # (K, s, T), in bins
    position = low[:, None, None] + (extent / bins)[:, None, None] * offset
    used = (sample < count[:, None])[:, None] & touches[:, None, None] & (position >= -1) & (position <= length)
    position = position.clamp(0, length - 1)
    line = torch.arange(length, device=low.device)
    hat = (1 - (position[..., None] - line).abs()).clamp(min=0)  # (K, s, T, length) bilinear
    return (hat * used[..., None]).sum(dim=2) / count[:, None, None]


def _cell_coordinates(rois: Tensor, spatial_scale: float, align_corners: bool) -> Tensor:
    """Boxes in coordinates of the grid, in which cell i lies at i: (K, 5) -> (K, 4)."""
    # pixel edge x -> pixel centre coordinate x - 0.5 -> cell coordinate
    return rois[:, 1:] * spatial_scale - (0.5 * spatial_scale if align_corners else 0.5)


def roi_cells(rois: Tensor, size: tuple[int, int], spatial_scale: float, align_corners: bool = True) -> Tensor:
    """The cells of the feature grid whose centres lie in each box (ours).

    Args:
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        size (tuple[int, int]): Feature grid (h, w).
        spatial_scale (float): Feature cells per image pixel, 1 / stride.
        align_corners (bool): Where feature cell i lies in the image, see :func:`roi_weights`. Defaults to True.

    Returns:
        Tensor: (K, 4) int64, xyxy in cells, half-open, inside the grid; the nearest cell to the middle of a box that
        holds none, so that each has at least one.
    """
    x1, y1, x2, y2 = _cell_coordinates(rois, spatial_scale, align_corners).unbind(1)
    (left, right), (top, bottom) = _cells_within(x1, x2, size[1]), _cells_within(y1, y2, size[0])
    return torch.stack([left, top, right, bottom], dim=1).long()


def _cells_within(low: Tensor, high: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """First and last (exclusive) of an axis's cells from ``low`` on and before ``high``, (K,) each."""
    start, stop = low.ceil().clamp(0, length), high.ceil().clamp(0, length)
    middle = ((low + high) / 2).round().clamp(0, length - 1)
    start = torch.where(start < stop, start, middle)
    return start, torch.maximum(stop, start + 1)


def roi_axis_weights(
    rois: Tensor, size: tuple[int, int], spatial_scale: float, output_size: int = 2, align_corners: bool = True
) -> tuple[Tensor, Tensor]:
    """The two factors of :func:`roi_weights`, with its arguments.

    Returns:
        tuple[Tensor, Tensor]: Weights over the rows of the grid, (K, s, h), and over its columns, (K, s, w). Bin (i, j)
        weighs cell (y, x) with ``rows[:, i, y] * cols[:, j, x]``.
    """
    x1, y1, x2, y2 = _cell_coordinates(rois, spatial_scale, align_corners).unbind(1)
    return _bin_weights(y1, y2, size[0], output_size), _bin_weights(x1, x2, size[1], output_size)


def roi_weights(
    rois: Tensor, size: tuple[int, int], spatial_scale: float, output_size: int = 2, align_corners: bool = True
) -> Tensor:
    """RoIAlign as weights over the feature grid.

    Args:
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        size (tuple[int, int]): Feature grid (h, w).
        spatial_scale (float): Feature cells per image pixel, 1 / stride.
        output_size (int): Bins a side, s. Defaults to 2.
        align_corners (bool): Where feature cell i lies in the image. True: centred on pixel ``stride * i``, as in VGG
            and ResNet, whose strided layers have odd kernels and symmetric padding. False: on the middle of pixels
            ``stride * i`` to ``stride * (i + 1)``, as mmcv's RoIAlign takes it. Defaults to True.

    Returns:
        Tensor: (K, s*s, h, w), bins in row-major order, each summing to 1.
    """
    rows, cols = roi_axis_weights(rois, size, spatial_scale, output_size, align_corners)
    return torch.einsum('kih,kjw->kijhw', rows, cols).flatten(1, 2)


def stack_by_image(
    rois: Tensor, weight: Tensor, num_images: int, counts: Sequence[int] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Gather the weights of each image's RoIs, with zeros where an image has fewer RoIs than another.

    Args:
        rois (Tensor): (K, 5) float, image index first.
        weight (Tensor): (K, ...).
        num_images (int): N.
        counts (Sequence[int] | None): Number of RoIs of each image. None reads the largest back from the device.

    Returns:
        tuple[Tensor, tuple[Tensor, Tensor]]: (N, R, ...) with R the largest number of RoIs in an image, and the
        index of the K RoIs in it.
    """
    image = rois[:, 0].long()
    onehot = torch.nn.functional.one_hot(image, num_images)  # (K, N)
    index = (image, (onehot.cumsum(dim=0) * onehot).sum(dim=1) - 1)
    largest = max(counts) if counts is not None else int(onehot.sum(dim=0).max())
    return weight.new_zeros(num_images, largest, *weight.shape[1:]).index_put(index, weight), index


def background_aware_pool(
    feats: Tensor,
    rois: Tensor,
    attention: Tensor | None,
    spatial_scale: float,
    output_size: int = 2,
    align_corners: bool = True,
    counts: Sequence[int] | None = None,
) -> Tensor:
    r"""Average the features of each box, weighted with how little they look like background (paper Eq. 4).

    .. math:: r_i = \frac{\sum_{p \in B_i} (1 - A(p)) f(p)}{\sum_{p \in B_i} (1 - A(p))}

    with p running over the bilinear samples of RoIAlign, and one r_i for each of s x s bins (the reference code's
    choice, which the paper does not mention; ``output_size=1`` is Eq. 4 to the letter). Equal to RoIAlign of
    (1 - A) f over RoIAlign of 1 - A. Where A is 1 all over a bin its vector is zero.

    Args:
        feats (Tensor): Features f, (N, D, h, w) float; half precision is computed in float32.
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        attention (Tensor | None): A, (N, 1, h, w) in [0, 1]. None means A = 0: plain average pooling (GAP).
        spatial_scale (float): Feature cells per image pixel, 1 / stride.
        output_size (int): Bins a side, s. Defaults to 2.
        align_corners (bool): See :func:`roi_weights`. Defaults to True.
        counts (Sequence[int] | None): Number of RoIs of each image. Given, no value is read back from the device.

    Returns:
        Tensor: r, (K, D, s, s).
    """
    feats = at_least_float32(feats)
    num_images, channels, height, width = feats.shape
    if rois.dim() != 2 or rois.size(1) != 5:
        raise ValueError(f'rois must have shape (K, 5): image index, x1, y1, x2, y2; got {tuple(rois.shape)}')
    if len(rois) == 0:
        return feats.new_zeros(0, channels, output_size, output_size) + feats.sum() * 0  # keeps the graph connected
    weight = roi_weights(rois.to(feats.dtype), (height, width), spatial_scale, output_size, align_corners)
    if attention is not None:
        weight = weight * (1 - attention[rois[:, 0].long()])
    weight = weight.flatten(2)  # (K, s*s, h*w)
    weight = weight / weight.sum(dim=-1, keepdim=True).clamp(min=MIN_WEIGHT)
    stacked, index = stack_by_image(rois, weight, num_images, counts)
    pooled = stacked.flatten(1, 2) @ feats.flatten(2).transpose(1, 2)  # (N, R*s*s, D)
    pooled = pooled.view(*stacked.shape[:3], channels)[index]  # (K, s*s, D)
    return pooled.transpose(1, 2).reshape(len(rois), channels, output_size, output_size)
