"""Mean-field inference in a fully connected CRF, in plain PyTorch.

Kraehenbuehl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", 2011.
"""

import torch
from torch import Tensor

from .permutohedral import PermutohedralLattice


def spatial_features(height: int, width: int, xy_std: float, device: torch.device | str | None = None) -> Tensor:
    """Pixel positions in standard deviations: (2, H*W) float32, x and y, pixels in row-major order."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing='ij')
    position = torch.stack([x, y]).flatten(1).float()
    # Divided by a tensor: CUDA multiplies by the reciprocal of a number, which is not quite the same.
    return position / position.new_tensor(xy_std)


def bilateral_features(image: Tensor, xy_std: float, rgb_std: float) -> Tensor:
    """Pixel positions and colours in standard deviations: (5, H*W) float32, x, y, red, green and blue.

    Args:
        image (Tensor): (H, W, 3) uint8, RGB.
        xy_std (float): Standard deviation in pixels.
        rgb_std (float): Standard deviation in steps of 8-bit colour.
    """
    height, width, _ = image.shape
    color = image.flatten(0, 1).t().float()
    return torch.cat([spatial_features(height, width, xy_std, image.device), color / color.new_tensor(rgb_std)])


def gaussian_kernel(weight: float, features: Tensor, groups: int = 1) -> PermutohedralLattice:
    """A Gaussian kernel over the pixels of an image, normalised symmetrically.

    With G the Gaussian of the distance between two pixels' features and n its row sums, the kernel is
    ``weight * n^-1/2 G n^-1/2``, as in the authors' code; the paper leaves the normalisation open.

    Args:
        weight (float): Weight of the Potts penalty.
        features (Tensor): (d, N) float32, in units of the standard deviation.
        groups (int): Images of equal size that the pixels belong to, one after the other. Defaults to 1.
    """
    kernel = PermutohedralLattice(features, groups)
    scale = kernel.filter(features.new_ones(features.size(1), 1)).flatten().add_(1e-20).rsqrt_()
    kernel.rescale(scale, scale * weight)
    return kernel


def mean_field(unary: Tensor, kernels: list[PermutohedralLattice], iterations: int) -> Tensor:
    """Marginals of a fully connected CRF with Potts compatibility (Kraehenbuehl and Koltun 2011, Algorithm 1).

    Each step is Q = softmax(-unary + sum of the kernels applied to the last Q), starting from softmax(-unary). A pixel
    is its own neighbour too, as in the authors' code.

    Args:
        unary (Tensor): (C, N) float32, energies.
        kernels (list[PermutohedralLattice]): Over the same N pixels, from :func:`gaussian_kernel`; none is allowed.
        iterations (int): Number of steps.

    Returns:
        Tensor: (C, N) float32, sums to 1 over the classes.
    """
    score = unary.neg().t().contiguous()  # (N, C), as the lattice wants it
    marginal = _softmax(score)
    for _ in range(iterations):
        marginal = _softmax(sum((kernel.filter(marginal) for kernel in kernels), start=score))
    return marginal.t().contiguous()


def _softmax(rows: Tensor) -> Tensor:
    """Over the last dimension of (N, C); the detour is five times faster where few classes do not fill a CPU vector."""
    return rows.softmax(1) if rows.size(1) >= 16 else rows.t().softmax(0).t().contiguous()
