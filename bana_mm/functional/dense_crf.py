"""DenseCRF: sharpen class probabilities along the edges of an image.

Kraehenbuehl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", 2011; used for the
labels Y_crf (paper Sec. 3.2) and on predictions at test time (paper Sec. 4).
"""

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .mean_field import bilateral_features, gaussian_kernel, mean_field, spatial_features

BACKENDS = ('auto', 'pydensecrf', 'torch')
FEW_PIXELS = 300 * 300  # fewer take pydensecrf less time than torch on one thread of a CPU
MIN_PROBABILITY = 1e-5  # so that the energy stays finite; value of pydensecrf and thereby of the reference code


@torch.no_grad()
def dense_crf(
    image: np.ndarray | Tensor,
    probability: np.ndarray | Tensor,
    bilateral: tuple[float, float, float] | None = (4, 55, 3),
    gaussian: tuple[float, float] | None = (3, 3),
    iterations: int = 10,
    backend: str = 'auto',
) -> np.ndarray | Tensor:
    r"""Mean-field posterior of a fully connected CRF with Potts compatibility.

    The energy of a labelling x with pixel positions p and colours I is

    .. math::
        \sum_i -\log \max(P_i(x_i), 10^{-5}) - \sum_{i<j} [x_i = x_j] \Big(
        w_b\, e^{-\frac{|p_i - p_j|^2}{2 s_b^2} - \frac{|I_i - I_j|^2}{2 c_b^2}}
        + w_g\, e^{-\frac{|p_i - p_j|^2}{2 s_g^2}} \Big)

    with both kernels normalised symmetrically (:func:`~bana_mm.functional.mean_field.gaussian_kernel`). Both backends
    filter on the permutohedral lattice and agree to about 1e-4. The result carries no gradient.

    Args:
        image (np.ndarray | Tensor): (H, W, 3) uint8, RGB, without normalisation; or several of one size, (N, H, W, 3),
            which the torch backend works on at once.
        probability (np.ndarray | Tensor): (C, H, W) or (N, C, H, W) float, at least 0. Need not sum to 1 over the
            classes; values above 1 count as 1.
        bilateral (tuple[float, float, float] | None): Weight, standard deviation of the position in pixels and of the
            colour in 8-bit steps; None leaves the kernel out. Defaults to (4, 55, 3), the reference code's for labels.
        gaussian (tuple[float, float] | None): Weight and standard deviation of the position in pixels; None leaves the
            kernel out. Defaults to (3, 3), the reference code's for labels.
        iterations (int): Mean-field steps. Defaults to 10.
        backend (str): 'pydensecrf', the authors' C++ code, one thread of the CPU; 'torch', plain PyTorch on the device
            of ``probability``, deterministic on a device; 'auto', what is faster: pydensecrf for images of less than
            :data:`FEW_PIXELS` on the CPU where it is installed, else torch. Defaults to 'auto'.

    Returns:
        np.ndarray | Tensor: Shaped like ``probability``, float32, sums to 1 over the classes. An array where
        ``probability`` is one, else a tensor on its device.

    Raises:
        ValueError: If an argument has the wrong shape, dtype or value; the message names it.
        ImportError: If ``backend='pydensecrf'`` and it is not installed.
    """
    pixels, prob = _as_tensor(image), _as_tensor(probability)
    _check_maps(pixels, prob)
    kernels = (
        _check_kernel('bilateral', bilateral, ('weight', 'xy_std', 'rgb_std')),
        _check_kernel('gaussian', gaussian, ('weight', 'xy_std')),
    )
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or iterations < 0:
        raise ValueError(f'iterations must be an integer of at least 0, got {iterations!r}')
    run = _run_torch if _choose_backend(backend, prob) == 'torch' else _run_pydensecrf

    if prob.size(-3) == 1:
        posterior = torch.ones_like(prob, dtype=torch.float32)
    else:
        unary = prob.float().clamp(MIN_PROBABILITY, 1).log().neg()
        if prob.dim() == 3:
            pixels, unary = pixels[None], unary[None]
        posterior = run(pixels, unary, *kernels, int(iterations)).view(prob.shape)
    return posterior if isinstance(probability, Tensor) else posterior.numpy()


def dense_crf_labels(image: np.ndarray, probability: np.ndarray, **kwargs: Any) -> np.ndarray:
    """Class of the largest posterior of :func:`dense_crf` at each pixel: little to send from a worker process.

    Args:
        image (np.ndarray): (H, W, 3) uint8, RGB.
        probability (np.ndarray): (C, H, W) float.
        kwargs: See :func:`dense_crf`.

    Returns:
        np.ndarray: (H, W), 0..C-1, uint8 unless there are more than 256 classes.
    """
    posterior = np.asarray(dense_crf(image, probability, **kwargs))
    return posterior.argmax(axis=0).astype(np.min_scalar_type(len(posterior) - 1))


def _run_torch(
    images: Tensor, unary: Tensor, bilateral: tuple | None, gaussian: tuple | None, iterations: int
) -> Tensor:
    """(N, H, W, 3), (N, C, H, W) -> (N, C, H, W), on the device of ``unary``, all images in one lattice."""
    num_images, _, height, width = unary.shape
    images = images.to(unary.device)
    kernels = []
    if gaussian is not None:
        weight, xy_std = gaussian
        features = spatial_features(height, width, xy_std, unary.device).repeat(1, num_images)
        kernels.append(gaussian_kernel(weight, features, num_images))
    if bilateral is not None:
        weight, xy_std, rgb_std = bilateral
        features = torch.cat([bilateral_features(image, xy_std, rgb_std) for image in images], dim=1)
        kernels.append(gaussian_kernel(weight, features, num_images))
    marginal = mean_field(unary.transpose(0, 1).flatten(1), kernels, iterations)
    return marginal.view(-1, num_images, height, width).transpose(0, 1).contiguous()


def _run_pydensecrf(
    images: Tensor, unary: Tensor, bilateral: tuple | None, gaussian: tuple | None, iterations: int
) -> Tensor:
    """(N, H, W, 3), (N, C, H, W) -> (N, C, H, W), computed on the CPU, returned on the device of ``unary``."""
    from pydensecrf.densecrf import DenseCRF2D

    _, num_classes, height, width = unary.shape
    marginals = []
    for image, energy in zip(images.cpu(), unary.flatten(2).cpu()):
        crf = DenseCRF2D(width, height, num_classes)
        crf.setUnaryEnergy(energy.contiguous().numpy())
        if gaussian is not None:
            weight, xy_std = gaussian
            crf.addPairwiseGaussian(sxy=xy_std, compat=weight)
        if bilateral is not None:
            weight, xy_std, rgb_std = bilateral
            crf.addPairwiseBilateral(sxy=xy_std, srgb=rgb_std, rgbim=image.contiguous().numpy(), compat=weight)
        marginals.append(torch.from_numpy(np.array(crf.inference(iterations), order='C')))
    return torch.stack(marginals).view(unary.shape).to(unary.device)


def _choose_backend(backend: str, probability: Tensor) -> str:
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {", ".join(BACKENDS)}, got {backend!r}')
    installed = find_spec('pydensecrf') is not None
    if backend == 'pydensecrf' and not installed:
        raise ImportError(
            "backend='pydensecrf' needs the package pydensecrf2: pip install pydensecrf2, or take backend='torch'"
        )
    if backend == 'auto':
        is_small = probability.size(-2) * probability.size(-1) < FEW_PIXELS
        return 'pydensecrf' if installed and is_small and probability.device.type == 'cpu' else 'torch'
    return backend


def _as_tensor(values: np.ndarray | Tensor) -> Tensor:
    # Torch takes neither reversed views, such as BGR turned into RGB, nor read-only memory.
    return values if isinstance(values, Tensor) else torch.from_numpy(np.require(values, requirements=['C', 'W']))


def _check_maps(image: Tensor, probability: Tensor) -> None:
    if image.dim() not in (3, 4) or image.size(-1) != 3 or not image.numel():
        raise ValueError(f'image must have shape (H, W, 3) or (N, H, W, 3) with N, H, W > 0, got {tuple(image.shape)}')
    if image.dtype != torch.uint8:
        raise ValueError(f'image must be uint8 (RGB without normalisation), got {image.dtype}')
    *batch, height, width, _ = image.shape
    if (
        probability.dim() != image.dim()
        or not probability.size(-3)
        or (*probability.shape[:-3], *probability.shape[-2:]) != (*batch, height, width)
    ):
        wanted = ', '.join(map(str, [*batch, 'C', height, width]))
        raise ValueError(
            f'probability must have shape ({wanted}) with C > 0 to fit the image, got {tuple(probability.shape)}'
        )
    if not probability.is_floating_point():
        raise ValueError(f'probability must be floating point, got {probability.dtype}')
    if not torch.isfinite(probability).all():
        raise ValueError('probability must be finite, but holds NaN or infinity')
    if (probability < 0).any():
        raise ValueError(f'probability must be at least 0, got {probability.min().item():g}')


def _check_kernel(name: str, values: tuple | None, fields: tuple[str, ...]) -> tuple[float, ...] | None:
    if values is None:
        return None
    if len(values) != len(fields):
        raise ValueError(f'{name} must be ({", ".join(fields)}) or None, got {values!r}')
    for field, value in zip(fields, values):
        lowest = 'at least 0' if field == 'weight' else 'above 0'
        if not math.isfinite(value) or value < 0 or (field != 'weight' and value == 0):
            raise ValueError(f'{name}: {field} must be finite and {lowest}, got {value!r}')
    return tuple(float(value) for value in values)
