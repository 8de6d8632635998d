"""Target 1: background-aware pooling, forward and backward, against loops over boxes and cells."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from bana_mm.functional import (
    background_attention,
    background_aware_features,
    background_aware_pool,
    background_queries,
    definite_background,
)
from benchmarks.harness import Candidate, Options, Row, compare
from benchmarks.slow.bap import loop_features

GRID_SIZE, SCALE = 4, 1 / 8


def rows(options: Options) -> Iterator[Row]:
    """3, 30 and 100 boxes an image; against the loops and against the three functions one after the other."""
    shape = (2, 16, 11) if options.quick else (20, 1024, 41)

    def candidate(name: str, boxes: int) -> Candidate:
        return Candidate(make, (name, *shape, boxes, options.device))

    for boxes, target in ((3, '>= 4'), (30, '>= 12'), (100, '')):
        ours, title = candidate('fused', boxes), f'BAP, {boxes} boxes'
        row = compare(options, title, ours, 'loops', candidate('loops', boxes), target)
        if boxes == 3 and options.device.startswith('cuda'):
            row.note = 'no synchronisation' if synchronisation_free(ours) else 'SYNCHRONISES'
        yield row
        yield compare(options, title, ours, 'three functions', candidate('steps', boxes))
    yield compare(options, title, candidate('fused', 100), '3 boxes', candidate('fused', 3), '>= 0.5')


def make(name: str, images: int, channels: int, cells: int, boxes: int, device: str) -> Callable[[], None]:
    """A forward and backward pass of one version."""
    feats, background, rois = make_case(images, channels, cells, boxes, device)
    feats.requires_grad_()
    function = dict(
        fused=partial(background_aware_features, counts=[boxes] * images), loops=loop_features, steps=steps
    )[name]

    def run() -> None:
        feats.grad = None
        pooled, queries, valid = function(feats, background, rois, GRID_SIZE, SCALE)
        (pooled.mean() + (queries * valid[..., None]).mean()).backward()

    return run


def make_case(images: int, channels: int, cells: int, boxes: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, D, h, h), background (N, 1, H, H) and boxes (N * K, 5) of a batch of square crops at stride 8."""
    generator = torch.Generator().manual_seed(0)
    pixels = 8 * (cells - 1) + 1
    feats = torch.rand(images, channels, cells, cells, generator=generator)
    corner = torch.rand(images, boxes, 2, generator=generator) * 0.6 * pixels
    extent = (0.1 + 0.25 * torch.rand(images, boxes, 2, generator=generator)) * pixels
    index = torch.arange(images)[:, None, None].expand(-1, boxes, 1)
    rois = torch.cat([index, corner, corner + extent], dim=2).flatten(0, 1)
    background = definite_background(rois, [(pixels, pixels)] * images, (pixels, pixels))
    return feats.to(device), background.to(device), rois.to(device)


def steps(
    feats: Tensor, background: Tensor, rois: Tensor, grid_size: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The three functions in a row, with autograd's backward pass."""
    queries, valid = background_queries(feats, background, grid_size)
    return background_aware_pool(feats, rois, background_attention(feats, queries, valid), scale), queries, valid


def synchronisation_free(candidate: Candidate) -> bool:
    """Whether the host never waits for the GPU; call it on a GPU only."""
    run = candidate.make(*candidate.args)
    run()  # libraries may synchronise while they start
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        run()
    except RuntimeError as error:
        if 'synchroniz' not in str(error):
            raise
        return False
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return True
