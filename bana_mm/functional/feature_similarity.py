"""Feature similarity loss (Jonnarth, Zhang and Felsberg: High-fidelity pseudo-labels, WACV 2024).

Contours of objects lie on edges of colour: neighbours of one colour are to be predicted alike, neighbours of different
colours apart. The loss is a sum over all pairs of cells; here it is taken in pieces, so that memory does not grow with
the square of their number, and its gradient is computed along with it.

Symbols: N images, C channels of a prediction, a grid of h x w cells, P = h*w.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import at_least_float32

# Keeps the logarithm of distances 0 and 1 finite.
MIN_DISTANCE = 1e-5


def colour_gate(distance: Tensor, mu: float = 2.5) -> Tensor:
    r"""Whether colours count as alike (-1) or as different (+1).

    .. math:: g(d) = \tanh\left( \mu + \log \frac{d + \epsilon}{1 - d + \epsilon} \right)

    With mu = 2.5 it is zero at d = 0.0759.

    Args:
        distance (Tensor): d, float in [0, 1].
        mu (float): Moves the distance at which it is zero, 1 / (1 + exp(mu)). Defaults to 2.5 (reference code).

    Returns:
        Tensor: In [-1, 1], of the same shape.
    """
    squared = (math.exp(mu) * (distance + MIN_DISTANCE) / (1 - distance + MIN_DISTANCE)).square_()
    return (squared - 1) / (squared + 1)  # tanh of a logarithm


def feature_similarity_loss(
    colours: Tensor,
    prediction: Tensor,
    mu: float = 2.5,
    sigma: float | None = 5.0,
    radius: int | None = None,
    valid: Tensor | None = None,
    fixed: Tensor | None = None,
    max_pairs: int = 2**22,
) -> Tensor:
    r"""Feature similarity loss.

    .. math::
        L = -\frac{1}{N} \sum_n \frac{1}{P} \sum_{i, j} G_{ij} \, \tfrac12 \|y_i - y_j\|^2 \, g(d_{ij}), \quad
        G_{ij} = \frac{1}{2 \pi \sigma^2} e^{-|p_i - p_j|^2 / 2 \sigma^2}

    with d the mean absolute difference of the colours and g the :func:`colour_gate`. It is negative where it has done
    its work. Half precision is computed in float32.

    Args:
        colours (Tensor): (N, 3, h, w) float in [0, 1]; any number of channels, no gradient.
        prediction (Tensor): y, (N, C, h, w) float, such as probabilities.
        mu (float): See :func:`colour_gate`. Defaults to 2.5 (reference code).
        sigma (float | None): Reach of a cell in cells; None weighs all pairs of an image alike, G = 1 / P.
            Defaults to 5.0 (reference code).
        radius (int | None): Leave out pairs that lie further apart in rows or columns (ours; with 3 sigma 0.4 % of the
            weight). None takes all pairs. Both ways are the same where it covers the map. Defaults to None.
        valid (Tensor | None): Cells that count, (N, h, w) bool; images without any count not at all. Defaults to None,
            all.
        fixed (Tensor | None): Cells whose prediction is known and gets no gradient, (N, h, w) bool: pairs of two of
            them don't count, and P is the number of the others (ours). Defaults to None, none.
        max_pairs (int): Pairs that are held at a time. Defaults to 4 million.

    Returns:
        Tensor: Scalar.

    Raises:
        ValueError: If shapes differ or ``sigma`` is not positive.
    """
    grid = (len(prediction), *prediction.shape[2:])
    if colours.dim() != 4 or (len(colours), *colours.shape[2:]) != grid:
        raise ValueError(f'colours {tuple(colours.shape)} do not lie on the prediction {tuple(prediction.shape)}')
    for name, mask in (('valid', valid), ('fixed', fixed)):
        if mask is not None and (mask.shape != grid or mask.dtype != torch.bool):
            raise ValueError(f'{name} must be bool of shape {grid}, got {mask.dtype} of shape {tuple(mask.shape)}')
    if sigma is not None and not sigma > 0:
        raise ValueError(f'sigma must be above 0 or None, got {sigma}')
    with torch.autocast(prediction.device.type, enabled=False):
        prediction = at_least_float32(prediction)
        colours = colours.detach().to(prediction.dtype)
        counts = torch.ones(grid, dtype=torch.bool, device=prediction.device) if valid is None else valid
        known = torch.zeros_like(counts) if fixed is None else fixed & counts
        masked = valid is not None or fixed is not None
        pairs = _Pairs(colours, counts, known, mu, sigma, radius, max_pairs, masked)
        total = _PairSum.apply(prediction, pairs)  # (N,)
        cells = (counts & ~known).sum(dim=(1, 2))
        return -(total / cells.clamp(min=1)).sum() / (cells > 0).sum().clamp(min=1)


class _Pairs:
    """The weights of all pairs of cells, W = G g, made piece by piece; zero for pairs that don't count."""

    def __init__(
        self,
        colours: Tensor,
        counts: Tensor,
        known: Tensor,
        mu: float,
        sigma: float | None,
        radius: int | None,
        max_pairs: int,
        masked: bool,
    ) -> None:
        self.colours, self.mu, self.sigma = colours, mu, sigma
        self.counts, self.known = counts.to(colours.dtype), known.to(colours.dtype)
        self.masked = masked
        self.max_pairs = max_pairs
        self.radius = radius
        self.size = tuple(colours.shape[2:])

    def quadratic(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Sum over ordered pairs of W |v_i - v_j|^2 / 2 of each image, (N,), and its gradient, (N, C, h, w)."""
        return self._dense(values) if self.radius is None else self._windowed(values, self.radius)

    def _dense(self, values: Tensor) -> tuple[Tensor, Tensor]:
        # |v_i - v_j|^2 multiplied out: sum_i s_i |v_i|^2 - sum_ij W_ij v_i v_j with s the sums of the rows of W. Only
        # differences count, so the mean may go, and with it what the two terms have in common.
        rows = values.flatten(2).transpose(1, 2)  # (N, P, C)
        rows = rows - rows.mean(dim=1, keepdim=True)
        gradient = torch.empty_like(rows)
        for chunk, weight in self._rows():
            part = weight.sum(dim=2, keepdim=True) * rows[:, chunk] - weight @ rows
            gradient[:, chunk] = part
        total = (gradient * rows).sum(dim=(1, 2))
        return total, 2 * gradient.transpose(1, 2).unflatten(2, self.size)

    def _rows(self) -> Iterator[tuple[slice, Tensor]]:
        """W row by row: which rows, and (N, rows, P)."""
        height, width = self.size
        cells = height * width
        flat = self.colours.flatten(2).transpose(1, 2).contiguous()  # (N, P, 3)
        counts, known = self.counts.flatten(1), self.known.flatten(1)
        if self.sigma is not None:
            near_y, near_x = (_gaussian(length, self.sigma, flat) for length in self.size)
        step = max(self.max_pairs // (len(flat) * cells), 1)
        for start in range(0, cells, step):
            chunk = slice(start, min(start + step, cells))
            distance = torch.cdist(flat[:, chunk], flat, p=1) / flat.size(2)
            weight = colour_gate(distance.clamp_(max=1), self.mu)
            if self.sigma is None:
                weight /= self.counts.sum(dim=(1, 2)).clamp(min=1)[:, None, None]
            else:
                index = torch.arange(chunk.start, chunk.stop, device=flat.device)
                near = near_y[index // width][:, :, None] * near_x[index % width][:, None]  # (rows, h, w)
                weight *= near.flatten(1)
            if self.masked:
                mask = counts[:, chunk, None] * counts[:, None]
                weight *= mask - known[:, chunk, None] * known[:, None]
            yield chunk, weight

    def _windowed(self, values: Tensor, radius: int) -> tuple[Tensor, Tensor]:
        total = values.new_zeros(len(values))
        gradient = torch.zeros_like(values)
        for here, there, near in self._shifts(radius):
            first, second = self.colours[here], self.colours[there]
            weight = colour_gate((first - second).abs().mean(dim=1).clamp_(max=1), self.mu) * near  # (N, h', w')
            if self.masked:
                at, to = (index[:1] + index[2:] for index in (here, there))
                weight *= self.counts[at] * self.counts[to] - self.known[at] * self.known[to]
            difference = values[here] - values[there]
            push = weight[:, None] * difference
            total += (push * difference).sum(dim=(1, 2, 3))  # each pair in both orders, times 1/2
            gradient[here] += 2 * push
            gradient[there] -= 2 * push
        return total, gradient

    def _shifts(self, radius: int) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...], float | Tensor]]:
        """Each way to shift the map inside the window, but not back: both cells of its pairs, and their G."""
        height, width = self.size
        across = min(radius, width - 1)
        for down in range(min(radius, height - 1) + 1):
            for right in range(-across if down else 1, across + 1):
                near: float | Tensor
                if self.sigma is None:
                    near = 1 / self.counts.sum(dim=(1, 2)).clamp(min=1)[:, None, None]
                else:
                    near = _density(down**2 + right**2, self.sigma)
                rows = (slice(0, height - down), slice(down, height))
                columns = (slice(max(-right, 0), width - max(right, 0)), slice(max(right, 0), width - max(-right, 0)))
                here, there = ((slice(None), slice(None), rows[end], columns[end]) for end in (0, 1))
                yield here, there, near


def _density(squared_distance: float, sigma: float) -> float:
    return math.exp(-squared_distance / (2 * sigma**2)) / (2 * math.pi * sigma**2)


def _gaussian(length: int, sigma: float, like: Tensor) -> Tensor:
    """Normal density of the distance of two cells along an axis, (length, length)."""
    line = torch.arange(length, device=like.device, dtype=like.dtype)
    return torch.exp(-(line[:, None] - line).square() / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)


class _PairSum(torch.autograd.Function):
    """Sum over the pairs of an image. Its gradient, computed in the forward pass, is all that is kept."""

    @staticmethod
    def forward(ctx: Any, prediction: Tensor, pairs: _Pairs) -> Tensor:
        total, gradient = pairs.quadratic(prediction)
        ctx.save_for_backward(gradient * (1 - pairs.known)[:, None] if pairs.masked else gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_total[:, None, None, None], None
