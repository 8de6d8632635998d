"""Queries, attention and pooling of the classifier in one step, with a backward pass of its own (paper Eq. 1-4).

The same values as ``background_queries``, ``background_attention`` and ``background_aware_pool`` in a row. The feature
map is by far the largest tensor here, and time goes by how often it is read: left to autograd each product writes a
gradient of its size, and these are added up one by one. Here all of them go into one gradient in place.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .background import query_weights
from .box_bins import BoxBins
from .pooling import MIN_WEIGHT, roi_axis_weights, stack_by_image
from .precision import at_least_float32

# Lengths of features and queries are taken to be at least this.
MIN_NORM = 1e-12


def background_aware_features(
    feats: Tensor,
    background: Tensor,
    rois: Tensor,
    grid_size: int,
    spatial_scale: float,
    output_size: int = 2,
    use_attention: Tensor | None = None,
    align_corners: bool = True,
    counts: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Background queries and background-aware vectors of boxes (paper Eq. 1-4).

    Args:
        feats (Tensor): Features f, (N, D, h, w) float; half precision is computed in float32.
        background (Tensor): Definite background M, (N, 1, H, W) bool.
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        grid_size (int): Cells a side from which queries are taken, G.
        spatial_scale (float): Feature cells per image pixel, 1 / stride.
        output_size (int): Bins a side, s. Defaults to 2.
        use_attention (Tensor | None): (N,) bool, False for images whose boxes are pooled plainly, as if A was 0. None
            means that all use it. Defaults to None.
        align_corners (bool): See :func:`bana_mm.functional.roi_weights`. Defaults to True.
        counts (Sequence[int] | None): Number of RoIs of each image. Given, no value is read back from the device.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Vectors r, (K, D, s, s); queries q, (N, G*G, D); which queries are valid,
        (N, G*G) bool.
    """
    feats = at_least_float32(feats)
    num_images, channels, height, width = feats.shape
    query_weight, valid = query_weights(background.to(feats.dtype), (height, width), grid_size)
    share = valid.to(feats.dtype) / valid.sum(dim=1, keepdim=True).clamp(min=1)  # (N, J)
    if use_attention is not None:
        share = share * use_attention[:, None]
    weights = roi_axis_weights(rois.to(feats.dtype), (height, width), spatial_scale, output_size, align_corners)
    stacked, index = stack_by_image(rois, torch.cat(weights, dim=2), num_images, counts)
    rows, cols = stacked.split([height, width], dim=3)
    queries, pooled = _BackgroundAwareFeatures.apply(feats.flatten(2), query_weight, share, rows, cols)
    pooled = pooled.view(-1, output_size**2, channels).index_select(0, index[0] * rows.size(1) + index[1])
    return pooled.transpose(1, 2).unflatten(2, (output_size, output_size)), queries, valid


class _BackgroundAwareFeatures(torch.autograd.Function):
    """Queries q (N, J, D) and pooled features r (N, R*s*s, D).

    From f (N, D, P), query weights (N, J, P), shares (N, J) and the weights of bins over the rows of the feature grid,
    (N, R, s, h), and over its columns, (N, R, s, w).
    """

    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, query_weight: Tensor, share: Tensor, rows: Tensor, cols: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.bins = [BoxBins(*part) for part in _parts((rows, cols))]
        inputs = (feats, query_weight, share)
        parts = [_forward(bins, *part) for bins, part in zip(ctx.bins, _parts(inputs))]
        results = [torch.cat(part) for part in zip(*parts)] if len(parts) > 1 else parts[0]
        ctx.save_for_backward(*inputs, *results)
        return results[0], results[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_queries: Tensor, grad_pooled: Tensor) -> tuple[Tensor | None, ...]:
        grad_feats = torch.empty_like(ctx.saved_tensors[0])
        for bins, part in zip(ctx.bins, _parts((grad_feats, grad_queries, grad_pooled, *ctx.saved_tensors))):
            _backward(bins, *part)
        return grad_feats, None, None, None, None


def _parts(tensors: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The whole batch on a GPU; one image after the other on a CPU, whose caches then hold its features throughout."""
    size = 1 if tensors[0].device.type == 'cpu' else len(tensors[0])
    return list(zip(*(tensor.split(size) for tensor in tensors)))


def _forward(bins: BoxBins, feats: Tensor, query_weight: Tensor, share: Tensor) -> tuple[Tensor, ...]:
    queries = query_weight @ feats.transpose(1, 2)  # Eq. 1
    length = torch.linalg.vector_norm(queries, dim=2, keepdim=True).clamp(min=MIN_NORM)
    norm = torch.linalg.vector_norm(feats, dim=1, keepdim=True).clamp(min=MIN_NORM)  # (N, 1, P)
    similarity = (((queries / length) @ feats) / norm).relu_()  # Eq. 3, (N, J, P)
    attention = share[:, None] @ similarity  # Eq. 2, (N, 1, P)
    sums, total = bins.sums(1 - attention[:, 0].clamp(max=1), feats)
    total = total.clamp(min=MIN_WEIGHT)
    return queries, sums.div_(total), length, norm, similarity, attention, total  # Eq. 4


def _backward(
    bins: BoxBins,
    grad_feats: Tensor,
    grad_queries: Tensor,
    grad_pooled: Tensor,
    feats: Tensor,
    query_weight: Tensor,
    share: Tensor,
    queries: Tensor,
    pooled: Tensor,
    length: Tensor,
    norm: Tensor,
    similarity: Tensor,
    attention: Tensor,
    total: Tensor,
) -> None:
    """Fill ``grad_feats`` from the gradients of queries and pooled features, and what :func:`_forward` was given."""
    # Eq. 4: the gradient spread over the cells of each box is, times 1 - A, that of f; times f, that of 1 - A
    grad_pooled = grad_pooled / total
    bins.spread_(grad_feats, grad_pooled)
    inner = (grad_pooled * pooled).sum(dim=2).masked_fill_(total[..., 0] <= MIN_WEIGHT, 0)  # (N, R*s*s)
    grad_attention = bins.map(inner)[:, None] - (grad_feats * feats).sum(dim=1, keepdim=True)
    grad_attention *= attention <= 1  # (N, 1, P)
    # Eq. 3: through the cosines to queries and features
    grad_cosine = share[:, :, None] * grad_attention * (similarity > 0)  # (N, J, P)
    along = (grad_cosine * similarity).sum(dim=1, keepdim=True) / norm**2  # what the norm of f takes away
    grad_dot = grad_cosine / norm
    unit = queries / length
    grad_unit = grad_dot @ feats.transpose(1, 2)  # (N, J, D)
    grad_queries = grad_queries + (grad_unit - unit * (unit * grad_unit).sum(dim=2, keepdim=True)) / length
    grad_feats *= 1 - attention.clamp(max=1)
    factors = torch.cat([unit, grad_queries], dim=1)  # (N, 2 J, D)
    grad_feats.baddbmm_(factors.transpose(1, 2), torch.cat([grad_dot, query_weight], dim=1))
    grad_feats.addcmul_(feats, along, value=-1)
