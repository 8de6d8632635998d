"""Time of the classifier's head, forward and backward, against a version with loops over boxes and cells.

The loop version computes the same numbers the obvious way: RoIAlign's samples one box at a time, the queries one cell
at a time. It needs torch alone, and the tests of the functions use the same idea as their oracle.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import (
    background_attention,
    background_aware_features,
    background_aware_pool,
    background_queries,
    definite_background,
)


def loops(feats: Tensor, background: Tensor, rois: Tensor, grid_size: int, scale: float, bins: int = 2) -> Tensor:
    """Eq. 1-4 with a Python loop over cells and one over boxes: the mean of all vectors and queries."""
    height, width = feats.shape[2:]
    terms = []
    attention = []
    # crops of 8 k + 1 pixels, on whose every eighth pixel a cell is centred
    for f, m in zip(feats, background[:, :, ::8, ::8].to(feats.dtype)):
        queries = []
        for rows in torch.arange(height).chunk(grid_size):
            for cols in torch.arange(width).chunk(grid_size):
                mask = m[:, rows][:, :, cols]
                if mask.sum() > 0:
                    queries.append((f[:, rows][:, :, cols] * mask).sum((1, 2)) / mask.sum())
        a = sum(F.relu(F.cosine_similarity(f, q[:, None, None], dim=0)) for q in queries) / max(len(queries), 1)
        attention.append(a)
        terms += queries
    for image, *box in rois.tolist():
        x1, y1, x2, y2 = (edge * scale - 0.5 * scale for edge in box)
        f, weight = feats[int(image)], 1 - attention[int(image)]
        count_y, count_x = (max(int(-(-extent // bins)), 1) for extent in (y2 - y1, x2 - x1))
        y, x = (low + (torch.arange(bins * count) + 0.5) / (bins * count) * (high - low)
                for low, high, count in ((y1, y2, count_y), (x1, x2, count_x)))
        grid = torch.stack(torch.meshgrid(y / (height - 1), x / (width - 1), indexing='ij')[::-1], dim=-1) * 2 - 1
        sampled = F.grid_sample(torch.cat([f * weight, weight[None]])[None], grid[None].to(f), align_corners=True,
                                padding_mode='border')
        sums = F.avg_pool2d(sampled[0], (count_y, count_x))
        terms += list((sums[:-1] / sums[-1]).flatten(1).T)
    return torch.stack(terms).mean()


def steps(feats: Tensor, background: Tensor, rois: Tensor, grid_size: int, scale: float) -> Tensor:
    """The three functions in a row, with autograd's backward pass."""
    queries, valid = background_queries(feats, background, grid_size)
    pooled = background_aware_pool(feats, rois, background_attention(feats, queries, valid), scale)
    return _mean(pooled, queries, valid)


def fused(feats: Tensor, background: Tensor, rois: Tensor, grid_size: int, scale: float) -> Tensor:
    """All in one, as the classifier's head does it."""
    return _mean(*background_aware_features(feats, background, rois, grid_size, scale))


def _mean(pooled: Tensor, queries: Tensor, valid: Tensor) -> Tensor:
    vectors = torch.cat([pooled.flatten(2).transpose(1, 2).flatten(0, 1), queries.flatten(0, 1)])
    counted = torch.cat([valid.new_ones(len(vectors) - valid.numel()), valid.flatten()])
    return (vectors * counted[:, None]).sum() / counted.sum() / vectors.size(1)


def make_case(images: int, channels: int, cells: int, boxes: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Features, background and boxes of a batch of square crops at stride 8."""
    generator = torch.Generator().manual_seed(0)
    pixels = 8 * (cells - 1) + 1
    feats = torch.rand(images, channels, cells, cells, generator=generator)
    corner = torch.rand(images, boxes, 2, generator=generator) * 0.6 * pixels
    extent = (0.1 + 0.25 * torch.rand(images, boxes, 2, generator=generator)) * pixels
    index = torch.arange(images)[:, None, None].expand(-1, boxes, 1)
    rois = torch.cat([index, corner, corner + extent], dim=2).flatten(0, 1)
    background = definite_background(rois, torch.full((images, 2), pixels), (pixels, pixels))
    return feats.to(device), background.to(device), rois.to(device)


def measure(function: Callable, case: tuple[Tensor, Tensor, Tensor], repeats: int) -> tuple[float, Tensor]:
    """Best time of a forward and backward pass in seconds, and the gradient."""
    feats, background, rois = case
    best = float('inf')
    for _ in range(repeats + 1):
        leaf = feats.detach().requires_grad_()
        start = _now(feats)
        function(leaf, background, rois, 4, 1 / 8).backward()
        best = min(best, _now(feats) - start)
    return best, leaf.grad


def _now(tensor: Tensor) -> float:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--shape', type=int, nargs=3, default=(20, 1024, 41), help='images, channels, cells a side')
    parser.add_argument('--boxes', type=int, nargs='+', default=(3, 30, 100), help='boxes an image')
    parser.add_argument('--repeats', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f'torch {torch.__version__}, {args.device}, {args.threads} threads, features {tuple(args.shape)}')
    print(f'{"boxes":>6} {"loops s":>9} {"steps s":>9} {"fused s":>9} {"loops/fused":>12} {"steps/fused":>12}')
    for boxes in args.boxes:
        case = make_case(*args.shape, boxes, args.device)
        times = [measure(function, case, args.repeats)[0] for function in (loops, steps, fused)]
        print(f'{boxes:>6} {times[0]:9.3f} {times[1]:9.3f} {times[2]:9.3f} {times[0] / times[2]:12.1f} '
              f'{times[1] / times[2]:12.1f}', flush=True)


if __name__ == '__main__':
    main()
