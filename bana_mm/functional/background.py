"""Background queries and the background attention map (paper Eq. 1-3).

Shapes: N images, D channels, h x w feature grid, H x W image, G grid cells a side, J = G*G queries.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32


def _cell_index(length: int, grid_size: int, device: torch.device) -> Tensor:
    """The grid cell of each row (or column): (length,) int64 in 0..grid_size-1.

    Cells have the same size, the smallest that covers the grid. As in the reference code the missing rows are split
    between both ends if their number is even, and lie at the far end if it is odd.
    """
    cell = -(-length // grid_size)
    missing = cell * grid_size - length
    before = missing // 2 if missing % 2 == 0 else 0
    return (torch.arange(length, device=device) + before) // cell


def _sample_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The image mask at the pixels on which the feature cells are centred: (N, 1, H, W) -> (N, h, w)."""
    index = [
        (torch.linspace(0, length - 1, cells, device=mask.device)).round().long()
        for length, cells in zip(mask.shape[-2:], size)
    ]
    return mask[:, 0, index[0]][:, :, index[1]]


def query_weights(background: Tensor, size: tuple[int, int], grid_size: int) -> tuple[Tensor, Tensor]:
    """The averages of Eq. 1 as weights over the feature grid.

    Args:
        background (Tensor): Definite background M, (N, 1, H, W) bool or non-negative float.
        size (tuple[int, int]): Feature grid (h, w).
        grid_size (int): Cells a side, G.

    Returns:
        tuple[Tensor, Tensor]: Weights, (N, G*G, h*w) float, each cell's summing to 1, or zero where it has no
        background; and which cells have any, (N, G*G) bool.
    """
    if grid_size < 1:
        raise ValueError(f'grid_size must be at least 1, got {grid_size}')
    dtype = background.dtype if background.is_floating_point() else torch.float32
    mask = _sample_mask(background, size).to(dtype)  # (N, h, w)
    rows, cols = (F.one_hot(_cell_index(length, grid_size, mask.device), grid_size).to(dtype) for length in size)
    weight = torch.einsum('nhw,hi,wj->nijhw', mask, rows, cols).flatten(1, 2).flatten(2)  # (N, G*G, h*w)
    total = weight.sum(dim=-1, keepdim=True)
    return weight / total.masked_fill(total == 0, 1), total.squeeze(-1) > 0


def background_queries(feats: Tensor, background: Tensor, grid_size: int) -> tuple[Tensor, Tensor]:
    r"""Mean background feature of each grid cell (paper Eq. 1).

    .. math:: q_j = \frac{\sum_{p \in G(j)} M(p) f(p)}{\sum_{p \in G(j)} M(p)}

    M is read at the pixels that the feature cells are centred on (corner cells on corner pixels). The reference code
    reads it up to half a cell off.

    Args:
        feats (Tensor): Features f, (N, D, h, w) float; half precision is computed in float32.
        background (Tensor): Definite background M, (N, 1, H, W) bool or non-negative float.
        grid_size (int): Cells a side, G. The paper trains with 4 and makes labels with 1.

    Returns:
        tuple[Tensor, Tensor]: Queries, (N, G*G, D), zero where not valid, and which cells hold any background,
        (N, G*G) bool.
    """
    if background.dim() != 4 or background.shape[:2] != (len(feats), 1):
        raise ValueError(f'background must have shape ({len(feats)}, 1, H, W), got {tuple(background.shape)}')
    feats = at_least_float32(feats)
    height, width = feats.shape[2:]
    weight, valid = query_weights(background.to(feats.dtype), (height, width), grid_size)
    return weight @ feats.flatten(2).transpose(1, 2), valid


def background_attention(feats: Tensor, queries: Tensor, valid: Tensor) -> Tensor:
    r"""How much each feature looks like the image's background (paper Eq. 2 and 3).

    .. math:: A(p) = \frac{1}{J} \sum_j \mathrm{ReLU}(\cos(f(p), q_j))

    over the valid queries. Eq. 3 also sets A to 1 outside the boxes; like the reference code this function leaves
    the retrieved value there, since pooling never looks outside a box.

    Args:
        feats (Tensor): Features f, (N, D, h, w) float; half precision is computed in float32.
        queries (Tensor): Background queries, (N, J, D) float.
        valid (Tensor): Which queries to use, (N, J) bool.

    Returns:
        Tensor: A, (N, 1, h, w) in [0, 1]; all zero for an image without a valid query.
    """
    feats, queries = at_least_float32(feats), at_least_float32(queries)
    norm = torch.linalg.vector_norm(feats, dim=1).clamp(min=1e-12)  # (N, h, w)
    similarity = (F.normalize(queries, dim=2) @ feats.flatten(2)).view(*queries.shape[:2], *norm.shape[1:])
    similarity = F.relu(similarity / norm[:, None])  # (N, J, h, w)
    # (N, J): 1 / number of valid queries
    share = valid.to(feats.dtype) / valid.sum(dim=1, keepdim=True).clamp(min=1)
    attention = torch.einsum('nj,njhw->nhw', share, similarity)
    return attention.clamp(max=1)[:, None]  # rounding may exceed 1
