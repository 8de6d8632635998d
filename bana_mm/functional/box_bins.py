"""Sums of features over the bins of boxes, and their gradient, without a weight for every bin at every cell.

A bin weighs the grid's cells with the product of a weight for the row and one for the column
(:func:`~bana_mm.functional.pooling.roi_axis_weights`), most of them zero. A dense product reads every cell for every
bin. Here the grid is taken in bands of some rows, and each leaves out the bins that don't touch it. That needs to look
at the weights, for which a GPU would have to be waited for; there, and for few bins, the products are dense. Both ways
give the same up to rounding.

Symbols: N images, R boxes, s bins a side, D channels, a grid of h x w cells.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = 240  # a band, about; long enough for the products to be efficient
MIN_BINS = 64  # fewer are not worth the bands


class BoxBins:
    """The weights of all bins of a batch.

    Args:
        rows (Tensor): Weights of each bin over the rows of the grid, (N, R, s, h).
        cols (Tensor): Its weights over the columns, (N, R, s, w). Bin (i, j) of box r weighs cell (y, x) with
            ``rows[:, r, i, y] * cols[:, r, j, x]``; bins are counted in row-major order.
    """

    def __init__(self, rows: Tensor, cols: Tensor):
        self.rows, self.cols = rows, cols
        self.bands = None
        if rows.device.type == 'cpu' and rows.size(1) * rows.size(2) ** 2 >= MIN_BINS:
            self.bands = [list(_bands(row.flatten(0, 1), col)) for row, col in zip(rows, cols)]

    def sums(self, keep: Tensor, feats: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of ``keep`` times the features over each bin, and of ``keep`` alone.

        Args:
            keep (Tensor): Weights of the cells, 1 - A, (N, h*w).
            feats (Tensor): Features, (N, D, h*w).

        Returns:
            tuple[Tensor, Tensor]: (N, R*s*s, D) and (N, R*s*s, 1).
        """
        across = self.rows @ keep.view(-1, 1, self.rows.size(3), self.cols.size(3))  # (N, R, s, w)
        total = (across[:, :, :, None] * self.cols[:, :, None]).sum(dim=4).flatten(1)[..., None]
        if self.bands is None:
            return (self._dense() * keep[:, None]) @ feats.transpose(1, 2), total
        boxes, size = self.rows.shape[1:3]
        sums = feats.new_zeros(len(feats), boxes * size, size, feats.size(1))
        for image, bands in enumerate(self.bands):
            for cells, index, weight in bands:
                product = (weight * keep[image, cells]) @ feats[image, :, cells].T
                sums[image].index_add_(0, index, product.unflatten(0, (-1, size)))
        return sums.flatten(1, 2), total

    def spread_(self, out: Tensor, grad: Tensor) -> Tensor:
        """Write the gradient of sums without ``keep``, (N, R*s*s, D), into ``out``, (N, D, h*w)."""
        if self.bands is None:
            return torch.bmm(grad.transpose(1, 2), self._dense(), out=out)
        grad = grad.unflatten(1, (-1, self.rows.size(2)))  # (N, R*s, s, D)
        for image, bands in enumerate(self.bands):
            for cells, index, weight in bands:
                torch.mm(grad[image, index].flatten(0, 1).T, weight, out=out[image, :, cells])
        return out

    def map(self, values: Tensor) -> Tensor:
        """Sum over all bins of a value, (N, R*s*s), times the bin's weights: (N, h*w)."""
        across = values.view(*self.rows.shape[:3], self.rows.size(2)) @ self.cols  # (N, R, s, w)
        return (self.rows.flatten(1, 2).transpose(1, 2) @ across.flatten(1, 2)).flatten(1)

    def _dense(self) -> Tensor:
        """(N, R*s*s, h*w)."""
        return (self.rows[:, :, :, None, :, None] * self.cols[:, :, None, :, None]).flatten(4).flatten(1, 3)


def _bands(row: Tensor, col: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The bands of one image, from weights (R*s, h) and (R, s, w).

    Yields:
        tuple[slice, Tensor, Tensor]: Cells of the band, which of the R*s rows of bins touch it, (I,), and the weights
        of their bins in it, (I*s, cells).
    """
    height, size, width = row.size(1), *col.shape[1:]
    number = min(max(height * width // CELLS, 1), height)
    lines = -(-height // number)
    number = -(-height // lines)
    row = F.pad(row, (0, number * lines - height)).unflatten(1, (number, lines)).transpose(0, 1)  # (bands, R*s, lines)
    band, index = row.amax(dim=2).nonzero(as_tuple=True)
    weight = (row[band, index][:, None, :, None] * col[index // size][:, :, None]).flatten(2)  # (T, s, lines*w)
    counts = band.bincount(minlength=number).tolist()
    for start, part, one in zip(
        range(0, number * lines * width, lines * width), index.split(counts), weight.split(counts)
    ):
        cells = slice(start, min(start + lines * width, height * width))
        yield cells, part, one[..., : cells.stop - start].flatten(0, 1)
