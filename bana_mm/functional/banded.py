"""Products of features with weights that are zero nearly everywhere, as those of boxes over a feature grid are.

A dense product reads every cell for every box. Here the cells are taken in bands, rows of the grid one after the other,
and each band leaves out what has no weight in it. That needs to look at the weights, for which a GPU would have to be
waited for; there, and for few rows, the products are dense. Both ways give the same up to rounding.

Symbols: N images, R rows of weights (bins of boxes), D channels, P cells.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

CELLS = 160  # a band, long enough for the products to be efficient
MIN_ROWS = 64  # fewer are not worth the bands


def weighted_sums(weight: Tensor, feats: Tensor) -> Tensor:
    """``weight @ feats^T``: (N, R, P), (N, D, P) -> (N, R, D)."""
    if _is_dense(weight):
        return weight @ feats.transpose(1, 2)
    sums = feats.new_zeros(*weight.shape[:2], feats.size(1))
    for image, cells, rows in _bands(weight):
        sums[image].index_add_(0, rows, weight[image, rows, cells] @ feats[image, :, cells].T)
    return sums


def spread_(out: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    """Write ``grad^T @ weight``, the sums' gradient, into ``out``: (N, R, D), (N, R, P) -> (N, D, P)."""
    if _is_dense(weight):
        return torch.bmm(grad.transpose(1, 2), weight, out=out)
    for image, cells, rows in _bands(weight):
        torch.mm(grad[image, rows].T, weight[image, rows, cells], out=out[image, :, cells])
    return out


def _is_dense(weight: Tensor) -> bool:
    return weight.device.type != 'cpu' or weight.size(1) < MIN_ROWS


def _bands(weight: Tensor) -> Iterator[tuple[int, slice, Tensor]]:
    """Image, cells of a band, and the rows that have a weight there."""
    for image, one in enumerate(weight):
        for start in range(0, one.size(1), CELLS):
            cells = slice(start, start + CELLS)
            yield image, cells, one[:, cells].amax(dim=1).nonzero()[:, 0]
