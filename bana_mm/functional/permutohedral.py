"""Gaussian filtering of scattered points on the permutohedral lattice, in plain PyTorch.

The lattice fills the d-dimensional feature space with simplices of d + 1 vertices each. A value is spread over the
vertices of the simplex that holds its point (splat), the vertices are blurred along the d + 1 lattice directions, and
the result is read back with the same weights (slice): Gaussian filtering in time linear in the number of points
(Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice", 2010).

Only vertices of simplices that hold a point exist. Where the original looks them up in a hash table, each vertex has
one integer key here and the keys are sorted: equal keys are one vertex, and a neighbour is found by binary search. All
arithmetic that decides which vertices exist is done in float32 in the order of Kraehenbuehl and Koltun's code, so that
the lattices are equal. (One oddity is not followed: to fill blocks of four points, that code adds points at 0, and the
blur passes through their vertices. It shows only where the upper left corner of an image is black.)
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_KEY = 2**62
MAX_POINT = 2**20  # float32 still tells neighbouring lattice points apart
MAX_TABLE = 2**22  # numbers; larger tables than 16 MB leave the CPU's caches and cost new memory each time


class PermutohedralLattice:
    """The lattice of a fixed set of points: built once, then applied to any number of values.

    Symbols: N points, d features, M vertices, C values a point. Row M of a table of vertices stands for all vertices
    that do not exist; it is always 0.

    Args:
        points (Tensor): (d, N) float32, in units of the Gaussian's standard deviation, N > 0.
        groups (int): Number of parts of equal length, one after the other, in which the points come; points of
            different parts ignore each other: several images at once. Defaults to 1.

    Raises:
        ValueError: If the points lie too far apart for the vertices to have 62-bit keys.
    """

    def __init__(self, points: Tensor, groups: int = 1) -> None:
        dims, num_points = points.shape
        if not points.abs().amax() < MAX_POINT:
            raise ValueError(
                f'points must be finite and within {MAX_POINT} standard deviations of 0; '
                'take larger standard deviations'
            )
        corner, rank, weight = _enclosing_simplex(_elevate(points))  # (d+1, N) each
        key, step = _vertex_keys(corner, rank, groups)
        sorted_key, order = key.flatten().sort(stable=True)  # entry r * N + n is vertex r of point n
        is_first = torch.ones_like(sorted_key, dtype=torch.bool)
        is_first[1:] = sorted_key[1:] != sorted_key[:-1]
        start = is_first.nonzero()[:, 0]  # (M,)
        vertex = torch.empty_like(order, dtype=torch.int32)
        vertex[order] = is_first.cumsum(0, dtype=torch.int32) - 1

        # A vertex takes up the points around it; row M has none.
        self._splat = _SparseRows(
            order.remainder(num_points).int(), F.pad(start, (0, 1), value=order.numel()).int(), weight.flatten()[order]
        )
        # A point reads the vertices around it. The constant makes up for the gain of the blur (Kraehenbuehl and
        # Koltun's code).
        self._slice = _SparseRows.of_equal_length(vertex.view(dims + 1, num_points).t(), weight.t() / (1 + 2.0**-dims))
        # A vertex is averaged with its neighbours in each direction.
        stencil = weight.new_tensor([1, 0.5, 0.5]).repeat(start.numel() + 1, 1)
        self._blurs = [
            _SparseRows.of_equal_length(_neighbours(sorted_key[start], offset), stencil) for offset in step.tolist()
        ]

    def rescale(self, before: Tensor, after: Tensor) -> None:
        """Have :meth:`filter` multiply the values by ``before`` and its result by ``after``, without extra work.

        Args:
            before (Tensor): (N,) float32.
            after (Tensor): (N,) float32.
        """
        self._splat.weight.mul_(before[self._splat.column])
        self._slice.weight.view(after.numel(), -1).mul_(after[:, None])

    def filter(self, values: Tensor) -> Tensor:
        """Sum over all points of the Gaussian of their distance times their value, up to a common factor.

        The sums are taken in a fixed order, so equal input gives equal output on a device.

        Args:
            values (Tensor): (N, C) float32.

        Returns:
            Tensor: (N, C) float32.
        """
        width = max(1, MAX_TABLE // self._splat.start.numel())
        parts = []
        for part in values.split(width, dim=1):
            part = self._splat.times(part)  # (M+1, C)
            for blur in self._blurs:
                part = blur.times(part)
            parts.append(self._slice.times(part))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class _SparseRows(NamedTuple):
    """A sparse matrix, row by row; columns may repeat."""

    column: Tensor  # (entries,) int32
    start: Tensor  # (rows,) int32, first entry of each row
    weight: Tensor  # (entries,) float32

    @classmethod
    def of_equal_length(cls, column: Tensor, weight: Tensor) -> '_SparseRows':
        """From (rows, entries a row)."""
        start = torch.arange(0, column.numel(), column.size(1), dtype=torch.int32, device=column.device)
        return cls(column.flatten(), start, weight.flatten())

    def times(self, values: Tensor) -> Tensor:
        """(columns, C) -> (rows, C)."""
        # On the CPU several times faster than sparse CSR products and index_select, and no atomic additions on CUDA.
        return F.embedding_bag(self.column, values, self.start, mode='sum', per_sample_weights=self.weight)


def _elevate(points: Tensor) -> Tensor:
    """Map (d, N) points onto the hyperplane of (d+1, N) coordinates that sum to 0 (Adams et al. 2010)."""
    dims, num_points = points.shape
    # Splat, blur and slice together have this standard deviation in lattice units (Adams et al. 2010).
    stretch = _float32(math.sqrt(2 / 3) * (dims + 1))
    elevated = points.new_empty(dims + 1, num_points)
    total = points.new_zeros(num_points)
    for axis in range(dims, 0, -1):
        scaled = points[axis - 1] * _float32(stretch / math.sqrt((axis + 1) * axis))
        elevated[axis] = total - scaled * axis
        total = total + scaled
    elevated[0] = total
    return elevated


def _enclosing_simplex(elevated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point (Adams et al. 2010).

    Args:
        elevated (Tensor): (d+1, N) float32.

    Returns:
        tuple[Tensor, Tensor, Tensor]: (d+1, N) each. The coordinates of the simplex' vertex 0, int64, multiples of d+1;
        the rank of each coordinate's distance from there, int64, 0 for the largest; and the barycentric weights of
        vertices 0..d, float32, that sum to 1.
    """
    size = elevated.size(0)  # d + 1
    inverse = _float32(1 / size)
    rounded = torch.round(elevated * inverse)
    rest = elevated - rounded * size
    rank = rounded.sum(0).long().repeat(size, 1)  # starts from how far rounding has left the hyperplane
    for axis in range(size - 1):
        less = rest[axis] < rest[axis + 1 :]
        rank[axis] += less.sum(0)
        rank[axis + 1 :] += ~less
    # The coordinates that were rounded furthest step back onto it.
    back = (rank < 0).long() - (rank >= size).long()
    rank += back * size
    corner = (rounded.long() + back) * size

    share = (elevated - corner) * inverse
    share = torch.empty_like(share).scatter_(0, rank, share)  # by rank: descending
    weight = torch.cat([share[-1:] + (1 - share[:1]), (share[:-1] - share[1:]).flip(0)])
    return corner, rank, weight


def _vertex_keys(corner: Tensor, rank: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """One integer for each vertex: its group and first d coordinates as the digits of a number (the last follows).

    Args:
        corner (Tensor): (d+1, N) int64, coordinates of the simplex' vertex 0.
        rank (Tensor): (d+1, N) int64.
        groups (int): Parts of the points.

    Returns:
        tuple[Tensor, Tensor]: (d+1, N) int64 keys of vertices 0..d; and (d+1,) int64, what leads from any vertex' key
        to that of its neighbour in each direction.
    """
    size = corner.size(0)
    digits = corner[:-1]
    # Vertices lie within d of vertex 0 and their neighbours within another d: no digit overflows.
    low = digits.amin(1, keepdim=True) - 2 * (size - 1)
    span = (digits.amax(1, keepdim=True) + 2 * (size - 1) - low + 1).flatten().tolist()
    cells = groups * math.prod(span)
    if cells >= MAX_KEY:
        raise ValueError(
            f'the points span {cells:.1e} lattice cells, more than keys of 62 bits can number; '
            'take larger standard deviations'
        )
    place = corner.new_tensor([math.prod(span[axis + 1 :]) for axis in range(size - 1)] + [0])  # (d+1,)
    # The neighbour along an axis is 1 further in all coordinates but d back in that one.
    step = place.sum() - size * place

    # Vertex r + 1 is the neighbour of vertex r along the axis with rank d - r.
    by_rank = torch.empty_like(rank).scatter_(0, rank, step[:, None].expand_as(rank))
    group = torch.arange(groups, device=corner.device).repeat_interleave(corner.size(1) // groups)
    first = ((digits - low) * place[:-1, None]).sum(0, keepdim=True) + group * math.prod(span)
    return torch.cat([first, by_rank[1:].flip(0)]).cumsum(0), step


def _neighbours(key: Tensor, offset: int) -> Tensor:
    """Each vertex and its neighbours on both sides: (M+1, 3) int32, M where there is none.

    Args:
        key (Tensor): (M,) int64, ascending.
        offset (int): Difference between the keys of neighbours.
    """
    num = key.numel()
    wanted = key + offset
    found = torch.searchsorted(key, wanted).clamp_(max=num - 1)
    rows = torch.full((num + 1, 3), num, dtype=torch.int32, device=key.device)
    itself = torch.arange(num + 1, dtype=torch.int32, device=key.device)
    rows[:, 0] = itself
    rows[:num, 1] = torch.where(key[found] == wanted, found, num)
    rows[rows[:, 1].long(), 2] = itself
    rows[num, 2] = num  # everything without a neighbour wrote here
    return rows


def _float32(value: float) -> float:
    """Round to float32, as a C++ float would be."""
    return torch.tensor(value, dtype=torch.float32).item()
