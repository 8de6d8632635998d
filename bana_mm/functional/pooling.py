"""Background-aware pooling (BAP, paper Eq. 4) as matrix products.

RoIAlign averages bilinear samples, so it is linear in the features: a bin is a row of weights over the h*w grid, and
because bin and samples are axis-aligned the row is the outer product of a weight vector over the rows and one over the
columns. Multiplied with 1 - A and normalised it gives Eq. 4; all bins of an image are one matrix product with its
features. Nothing of size K x D x h x w is ever built.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def _bin_weights(low: Tensor, high: Tensor, length: int, bins: int) -> Tensor:
    """Weights of one axis: how much each grid line counts in each bin of RoIAlign.

    RoIAlign with an adaptive number of samples: ``ceil(extent / bins)`` evenly spaced points a bin, at least one.

    Args:
        low (Tensor): (K,) start of each RoI in grid coordinates (line i lies at i).
        high (Tensor): (K,) its end.
        length (int): Number of grid lines.
        bins (int): Bins a RoI.

    Returns:
        Tensor: (K, bins, length), each row summing to 1 for a RoI inside the grid.
    """
    extent = (high - low).clamp(min=0)  # (K,)
    count = torch.ceil(extent / bins).clamp(min=1)  # (K,) samples a bin
    # A RoI on the grid spans at most `length` lines, so this many samples always suffice, known without a device sync.
    sample = torch.arange(length // bins + 2, device=low.device)  # (T,)
    fraction = (sample + 0.5) / count[:, None]  # (K, T) position within the bin
    bin_index = torch.arange(bins, device=low.device)
    offset = bin_index[:, None] + fraction[:, None]  # (K, s, T), in bins
    position = low[:, None, None] + (extent / bins)[:, None, None] * offset
    used = (sample < count[:, None])[:, None] & (position >= -1) & (position <= length)
    position = position.clamp(0, length - 1)
    line = torch.arange(length, device=low.device)
    hat = (1 - (position[..., None] - line).abs()).clamp(min=0)  # (K, s, T, length) bilinear
    return (hat * used[..., None]).sum(dim=2) / count[:, None, None]


def roi_weights(rois: Tensor, size: tuple[int, int], spatial_scale: float, output_size: int = 2,
                align_corners: bool = True) -> Tensor:
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
    # pixel edge x -> pixel centre coordinate x - 0.5 -> cell coordinate
    shift = 0.5 * spatial_scale if align_corners else 0.5
    x1, y1, x2, y2 = (rois[:, 1:] * spatial_scale - shift).unbind(1)
    rows = _bin_weights(y1, y2, size[0], output_size)  # (K, s, h)
    cols = _bin_weights(x1, x2, size[1], output_size)  # (K, s, w)
    return torch.einsum('kih,kjw->kijhw', rows, cols).flatten(1, 2)


def _slots(image_index: Tensor, num_images: int, counts: Sequence[int] | None) -> tuple[Tensor, int]:
    """Place of each RoI among those of its image, and the largest number of RoIs in one image."""
    onehot = torch.nn.functional.one_hot(image_index, num_images)  # (K, N)
    slot = (onehot.cumsum(dim=0) * onehot).sum(dim=1) - 1
    largest = max(counts) if counts is not None else int(onehot.sum(dim=0).max())
    return slot, largest


def background_aware_pool(feats: Tensor, rois: Tensor, attention: Tensor | None, spatial_scale: float,
                          output_size: int = 2, align_corners: bool = True,
                          counts: Sequence[int] | None = None) -> Tensor:
    r"""Average the features of each box, weighted with how little they look like background (paper Eq. 4).

    .. math:: r_i = \frac{\sum_{p \in B_i} (1 - A(p)) f(p)}{\sum_{p \in B_i} (1 - A(p))}

    with p running over the bilinear samples of RoIAlign, and one r_i for each of s x s bins (the reference code's
    choice, which the paper does not mention; ``output_size=1`` is Eq. 4 to the letter). Equal to RoIAlign of
    (1 - A) f over RoIAlign of 1 - A. Where A is 1 all over a bin its vector is zero.

    Args:
        feats (Tensor): Features f, (N, D, h, w) float.
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        attention (Tensor | None): A, (N, 1, h, w) in [0, 1]. None means A = 0: plain average pooling (GAP).
        spatial_scale (float): Feature cells per image pixel, 1 / stride.
        output_size (int): Bins a side, s. Defaults to 2.
        align_corners (bool): See :func:`roi_weights`. Defaults to True.
        counts (Sequence[int] | None): Number of RoIs of each image. Given, no value is read back from the device.

    Returns:
        Tensor: r, (K, D, s, s).
    """
    num_images, channels, height, width = feats.shape
    if rois.dim() != 2 or rois.size(1) != 5:
        raise ValueError(f'rois must have shape (K, 5): image index, x1, y1, x2, y2; got {tuple(rois.shape)}')
    num_rois, bins = rois.size(0), output_size**2
    if num_rois == 0:
        return feats.new_zeros(0, channels, output_size, output_size) + feats.sum() * 0  # keeps the graph connected
    image_index = rois[:, 0].long()
    weight = roi_weights(rois.to(feats.dtype), (height, width), spatial_scale, output_size, align_corners)
    if attention is not None:
        weight = weight * (1 - attention[image_index])
    weight = weight.flatten(2)  # (K, s*s, h*w)
    weight = weight / weight.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    slot, largest = _slots(image_index, num_images, counts)
    stacked = weight.new_zeros(num_images, largest, bins, height * width)
    stacked = stacked.index_put((image_index, slot), weight)
    pooled = stacked.flatten(1, 2) @ feats.flatten(2).transpose(1, 2)  # (N, largest*s*s, D)
    pooled = pooled.view(num_images, largest, bins, channels)[image_index, slot]  # (K, s*s, D)
    return pooled.transpose(1, 2).reshape(num_rois, channels, output_size, output_size)
