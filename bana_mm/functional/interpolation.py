"""Bilinear upsampling of a feature map, without building the upsampled map.

Upsampling an h x w map to H x W pixels is linear and separable: ``U f = U_y f U_x^T`` with interpolation matrices
``U_y`` (H, h) and ``U_x`` (W, w). Whatever labels need of the image-size features follows exactly from that, for
1/1000 of the memory: products with a vector are taken before upsampling, sums over a region go through the adjoint,
and norms need the inner products of neighbouring cells only.
"""

import torch
from torch import Tensor

from .precision import at_least_float32


def interpolation_matrix(
    cells: int,
    pixels: int,
    align_corners: bool = True,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = 'cpu',
) -> Tensor:
    """Linear interpolation along one axis as a matrix.

    Args:
        cells (int): Samples of the map.
        pixels (int): Samples wanted.
        align_corners (bool): True puts the outer cells on the outer pixels, False aligns the outer edges, both as in
            ``torch.nn.functional.interpolate``. Defaults to True.
        dtype (torch.dtype): Defaults to torch.float32.
        device (torch.device | str): Defaults to 'cpu'.

    Returns:
        Tensor: (pixels, cells). Rows sum to one; at most two neighbouring entries of a row are not zero.
    """
    pixel = torch.arange(pixels, dtype=torch.float64, device=device)
    if align_corners:
        position = pixel * ((cells - 1) / max(pixels - 1, 1))
    else:
        position = ((pixel + 0.5) * (cells / pixels) - 0.5).clamp(0, cells - 1)
    cell = torch.arange(cells, dtype=torch.float64, device=device)
    return (1 - (position[:, None] - cell).abs()).clamp(min=0).to(dtype)


class Upsampling:
    """Bilinear interpolation U from the cells of a feature map to the pixels of an image; half precision in float32.

    Args:
        grid_size (tuple[int, int]): Height h and width w of the feature map in cells.
        image_size (tuple[int, int]): Height H and width W of the image in pixels.
        align_corners (bool): See :func:`interpolation_matrix`. Defaults to True.
        dtype (torch.dtype): Of the maps. Defaults to torch.float32.
        device (torch.device | str): Of the maps. Defaults to 'cpu'.
    """

    def __init__(
        self,
        grid_size: tuple[int, int],
        image_size: tuple[int, int],
        align_corners: bool = True,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = 'cpu',
    ) -> None:
        self.grid_size = tuple(grid_size)
        self.image_size = tuple(image_size)
        self._y, self._x = (
            interpolation_matrix(cells, pixels, align_corners, dtype, device)
            for cells, pixels in zip(self.grid_size, self.image_size)
        )

    def __call__(self, maps: Tensor) -> Tensor:
        """U m for each map: (..., h, w) -> (..., H, W)."""
        return self._y @ (at_least_float32(maps) @ self._x.T)

    def adjoint(self, maps: Tensor) -> Tensor:
        """U^T m for each map: (..., H, W) -> (..., h, w). The sum of m over all pixels is kept."""
        return self._y.T @ (at_least_float32(maps) @ self._x)

    def norm(self, feats: Tensor) -> Tensor:
        r"""Length of the upsampled feature at every pixel, ``||U f||``.

        A pixel mixes the four cells around it, so that

        .. math:: \|Uf\|^2 = \sum_{a,b} u_a u_b \, f_a \cdot f_b

        runs over the pairs of one cell, of two cells side by side, of one above the other, and of two on a diagonal.
        Each of these four kinds is a map of inner products, upsampled by squares or products of the weights.

        Args:
            feats (Tensor): Features f, (D, h, w) float.

        Returns:
            Tensor: (H, W), >= 0.
        """
        feats = at_least_float32(feats)
        left, right = feats[:, :, :-1], feats[:, :, 1:]
        same = _dot(feats, feats)  # (h, w)
        beside = _dot(left, right)  # (h, w - 1)
        below = _dot(feats[:, :-1], feats[:, 1:])  # (h - 1, w)
        across = _dot(left[:, :-1], right[:, 1:]) + _dot(right[:, :-1], left[:, 1:])  # (h - 1, w - 1), both diagonals
        square_y, square_x = self._y**2, self._x**2
        pair_y, pair_x = (2 * u[:, :-1] * u[:, 1:] for u in (self._y, self._x))  # twice: each pair in both orders
        squared = square_y @ (same @ square_x.T + beside @ pair_x.T) + pair_y @ (
            below @ square_x.T + across @ pair_x.T / 2
        )
        return squared.clamp(min=0).sqrt()  # rounding may leave less than zero


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products over the channels: (D, h, w), (D, h, w) -> (h, w)."""
    return (a * b).sum(dim=0)
