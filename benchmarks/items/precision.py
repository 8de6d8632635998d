"""Target 8: torch.compile of the head of stage 1, and mixed precision of its network."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from bana_mm.functional import background_aware_features
from benchmarks.harness import Candidate, Options, Row, SkipItem, compare
from benchmarks.items.bap import GRID_SIZE, SCALE, make_case
from benchmarks.items.step import CROP, build_classifier


def rows(options: Options) -> Iterator[Row]:
    """The head compiled against eager; the network in half precision against float32."""
    shape = (2, 16, 11) if options.quick else (20, 1024, 41)

    def head(compiled):
        return Candidate(make_head, (compiled, *shape, 3, options.device))

    yield compare(options, 'head and loss, compiled', head(True), 'eager', head(False))
    batch = 1 if options.quick else options.step_batch

    def network(precision):
        return Candidate(make_network, (precision, batch, options.quick, options.device))

    for precision in ('bfloat16', 'float16') if options.device.startswith('cuda') else ('bfloat16',):
        try:
            yield compare(
                options, f'VGG-16, {batch} images, {precision}', network(precision), 'float32', network('float32')
            )
        except ImportError as error:
            raise SkipItem(f'the network of stage 1 needs the mm* packages: {error}') from error


def make_head(compiled: bool, images: int, channels: int, cells: int, boxes: int, device: str) -> Callable[[], None]:
    """Forward and backward of pooling, classifier and cross entropy."""
    feats, background, rois = make_case(images, channels, cells, boxes, device)
    feats.requires_grad_()
    weight = torch.randn(21, channels, device=device).mul_(0.01).requires_grad_()
    labels = torch.randint(1, 21, (4 * len(rois),), device=device)  # 2 x 2 bins a box

    def loss(feats: torch.Tensor) -> torch.Tensor:
        pooled, queries, valid = background_aware_features(
            feats, background, rois, GRID_SIZE, SCALE, counts=[boxes] * images
        )
        vectors = pooled.flatten(2).transpose(1, 2).flatten(0, 1)
        box_loss = F.cross_entropy(vectors @ weight.T, labels, reduction='sum')
        query_logits = (queries @ weight.T).flatten(0, 1)
        query_loss = F.cross_entropy(
            query_logits, torch.zeros_like(query_logits[:, 0], dtype=torch.long), reduction='none'
        )
        return (box_loss + (query_loss * valid.flatten()).sum()) / (len(labels) + valid.sum())

    function = torch.compile(loss) if compiled else loss

    def run() -> None:
        feats.grad = weight.grad = None
        function(feats).backward()

    if compiled:
        run()  # compiles, which takes minutes and would count as a slow round
    return run


def make_network(precision: str, batch: int, quick: bool, device: str) -> Callable[[], None]:
    """Forward and backward of the backbone under autocast, channels last where it is half precision."""
    backbone = build_classifier(quick).backbone.to(device).train()
    dtype = getattr(torch, precision)
    half = dtype != torch.float32
    if half:
        backbone.memory_format = torch.channels_last
    inputs = torch.rand(batch, 3, CROP, CROP, device=device)

    def run() -> None:
        backbone.zero_grad()
        with torch.autocast(torch.device(device).type, dtype=dtype if half else None, enabled=half):
            feats = backbone(inputs)[0]
        feats.float().mean().backward()

    return run
