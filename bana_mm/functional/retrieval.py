"""Retrieval at image size: background attention, class prototypes and correlation (paper Eq. 1-3, 8, 9).

All functions work on one image. Features are meant as upsampled to the image, as in the reference code, and are never
built at that size (:class:`bana_mm.functional.Upsampling`). The paper correlates at feature size and upsamples the
correlations instead (its footnote 3). Half precision is computed in float32.

Shapes: D channels, h x w feature grid, H x W image, C regions, classes or queries.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .interpolation import Upsampling
from .precision import at_least_float32


def region_prototypes(feats: Tensor, masks: Tensor, upsampling: Upsampling) -> tuple[Tensor, Tensor]:
    r"""Mean upsampled feature of each region (paper Eq. 8, and Eq. 1 for regions of background).

    .. math:: q_c = \frac{1}{|Q_c|} \sum_{p \in Q_c} (Uf)(p) = \frac{1}{|Q_c|} \sum_k f_k \, (U^T Q_c)_k

    Args:
        feats (Tensor): Features f, (D, h, w) float.
        masks (Tensor): Regions, (C, H, W) bool.
        upsampling (Upsampling): U, from h x w to H x W.

    Returns:
        tuple[Tensor, Tensor]: Prototypes, (C, D), zero for an empty region, and which regions are not empty, (C,) bool.
    """
    feats = at_least_float32(feats)
    weight = upsampling.adjoint(masks.to(feats.dtype)).flatten(1)  # (C, h*w)
    area = masks.sum(dim=(1, 2)).to(feats.dtype)  # (C,)
    return (weight / area.clamp(min=1)[:, None]) @ feats.flatten(1).T, area > 0


def correlation_maps(feats: Tensor, prototypes: Tensor, upsampling: Upsampling, norm: Tensor | None = None) -> Tensor:
    r"""Cosine of every pixel's feature with each prototype (paper Eq. 9).

    .. math:: C_c(p) = \frac{(Uf)(p)}{\|(Uf)(p)\|} \cdot \frac{q_c}{\|q_c\|}

    Args:
        feats (Tensor): Features f, (D, h, w) float.
        prototypes (Tensor): Prototypes q, (C, D) float.
        upsampling (Upsampling): U, from h x w to H x W.
        norm (Tensor | None): ``upsampling.norm(feats)`` where it is known already. Defaults to None.

    Returns:
        Tensor: (C, H, W) in [-1, 1]; zero where feature or prototype is zero.
    """
    feats, prototypes = at_least_float32(feats), at_least_float32(prototypes)
    if norm is None:
        norm = upsampling.norm(feats)
    product = torch.einsum('cd,dhw->chw', F.normalize(prototypes, dim=1), feats)
    return (upsampling(product) / norm.clamp(min=1e-12)).clamp(-1, 1)  # rounding may exceed 1


def image_attention(
    feats: Tensor, background: Tensor, upsampling: Upsampling, grid_size: int = 1, norm: Tensor | None = None
) -> Tensor:
    """Background attention A at image size (paper Eq. 1-3 on the upsampled features).

    As in the reference code A keeps its value outside the boxes, where Eq. 3 sets it to 1: a threshold relative to the
    maximum of A needs these values.

    Args:
        feats (Tensor): Features f, (D, h, w) float.
        background (Tensor): Definite background M, (H, W) bool.
        upsampling (Upsampling): U, from h x w to H x W.
        grid_size (int): Cells a side from which queries are taken; the image is divided evenly. Defaults to 1 (paper,
            for labels).
        norm (Tensor | None): ``upsampling.norm(feats)`` where it is known already. Defaults to None.

    Returns:
        Tensor: A, (H, W) in [0, 1]; all zero without definite background (the reference code's NaN there).
    """
    cell_y, cell_x = (
        torch.arange(length, device=background.device) * grid_size // length for length in background.shape
    )
    cell = cell_y[:, None] * grid_size + cell_x  # (H, W)
    cells = cell == torch.arange(grid_size**2, device=cell.device)[:, None, None]  # (J, H, W)
    queries, valid = region_prototypes(feats, cells & background, upsampling)
    similarity = correlation_maps(feats, queries, upsampling, norm).relu()  # (J, H, W), zero for invalid queries
    return similarity.sum(dim=0) / valid.sum().clamp(min=1)


def retrieval_scores(feats: Tensor, masks: Tensor, weight: Tensor, upsampling: Upsampling) -> Tensor:
    """Correlation of every pixel with the image's own classes, background first (paper Sec. 3.2).

    A class without pixels uses its classifier weight as prototype, and negative correlations become zero (reference
    code; the paper has neither).

    Args:
        feats (Tensor): Features f, (D, h, w) float.
        masks (Tensor): Pixels of each class in Y_crf, (C, H, W) bool.
        weight (Tensor): Classifier weight of each class, (C, D) float.
        upsampling (Upsampling): U, from h x w to H x W.

    Returns:
        Tensor: (C, H, W) in [0, 1]. Y_ret is their argmax inside the boxes, see
        :func:`bana_mm.functional.label_rows`.
    """
    prototypes, found = region_prototypes(feats, masks, upsampling)
    prototypes = torch.where(found[:, None], prototypes, at_least_float32(weight))
    return correlation_maps(feats, prototypes, upsampling).relu()
