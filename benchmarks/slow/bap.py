"""Paper Eq. 1-4 with a Python loop over cells and one over boxes, in plain PyTorch with autograd.

What the authors' code does step by step, so that a step can be compared. Nothing here is slower than the loops make it:
features are split by image and weighted once, not for each box.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def loop_queries(feats: Tensor, mask: Tensor, grid_size: int) -> tuple[Tensor, Tensor]:
    """Eq. 1, one cell at a time.

    Args:
        feats (Tensor): (N, D, h, w).
        mask (Tensor): Definite background at the feature cells, (N, h, w).
        grid_size (int): Cells a side, G.

    Returns:
        tuple[Tensor, Tensor]: (N, G*G, D), and which cells hold background, (N, G*G) bool.
    """
    queries, valid = [], []
    for f, m in zip(feats, mask.to(feats.dtype)):
        for rows in _cells(m.size(0), grid_size):
            for cols in _cells(m.size(1), grid_size):
                weight = m[rows, cols]
                total = weight.sum()
                valid.append(bool(total > 0))
                queries.append((f[:, rows, cols] * weight).sum((1, 2)) / total if valid[-1] else f.new_zeros(len(f)))
    shape = (len(feats), grid_size**2)
    return torch.stack(queries).unflatten(0, shape), torch.tensor(valid, device=feats.device).view(shape)


def _cells(length: int, grid_size: int) -> list[slice]:
    """Equal cells over a padded grid: an even padding is split between both ends, an odd one lies at the far end."""
    size = math.ceil(length / grid_size)
    padding = size * grid_size - length
    before = 0 if padding % 2 else padding // 2
    starts = [size * cell - before for cell in range(grid_size)]
    return [slice(max(start, 0), start + size) for start in starts]


def loop_attention(feats: Tensor, queries: Tensor, valid: Tensor) -> Tensor:
    """Eq. 2 and 3, one query at a time: (N, D, h, w), (N, J, D), (N, J) -> (N, 1, h, w)."""
    maps = []
    for f, q, chosen in zip(feats, queries, valid):
        unit = F.normalize(f, dim=0)
        attention = torch.zeros_like(f[0])
        for query in q[chosen]:
            attention = attention + F.relu(torch.einsum('d,dhw->hw', F.normalize(query, dim=0), unit))
        maps.append(attention / max(int(chosen.sum()), 1))
    return torch.stack(maps)[:, None]


def loop_pool(
    feats: Tensor, rois: Tensor, attention: Tensor, scale: float, bins: int = 2, align_corners: bool = True
) -> Tensor:
    """Eq. 4, one box at a time: RoIAlign's samples of (1 - A) f over those of 1 - A. (K, D, s, s)

    Args:
        feats (Tensor): (N, D, h, w).
        rois (Tensor): (K, 5), image index and xyxy in pixel edges.
        attention (Tensor): A, (N, 1, h, w).
        scale (float): Cells a pixel.
        bins (int): s. Defaults to 2.
        align_corners (bool): Whether cell i is centred on pixel i / scale. Defaults to True.
    """
    height, width = feats.shape[2:]
    shift = 0.5 * scale if align_corners else 0.5
    weight = 1 - attention
    weighted = torch.cat([weight * feats, weight], dim=1).unbind()
    pooled = []
    for image, *box in rois.tolist():
        x1, y1, x2, y2 = (edge * scale - shift for edge in box)
        samples_y, samples_x = (max(math.ceil(extent / bins), 1) for extent in (y2 - y1, x2 - x1))
        y, x = (
            low + (torch.arange(count, dtype=torch.float64) + 0.5) / count * (high - low)
            for low, high, count in ((y1, y2, bins * samples_y), (x1, x2, bins * samples_x))
        )  # in cells
        y, x = (position / max(cells - 1, 1) * 2 - 1 for position, cells in ((y, height), (x, width)))
        grid = torch.stack(torch.meshgrid(y, x, indexing='ij')[::-1], dim=-1).to(feats)
        samples = F.grid_sample(weighted[int(image)][None], grid[None], align_corners=True, padding_mode='border')
        means = F.avg_pool2d(samples, (samples_y, samples_x))[0]
        pooled.append(means[:-1] / means[-1])
    return torch.stack(pooled)


def loop_features(
    feats: Tensor, background: Tensor, rois: Tensor, grid_size: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """All of it, with the arguments and results of ``background_aware_features``; for crops of n / scale + 1 pixels."""
    stride = round(1 / scale)
    queries, valid = loop_queries(feats, background[:, 0, ::stride, ::stride], grid_size)
    return loop_pool(feats, rois, loop_attention(feats, queries, valid), scale), queries, valid
