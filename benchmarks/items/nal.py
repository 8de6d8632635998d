"""Target 6: the noise-aware loss, forward and backward, against plain cross entropy and against index lists."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from bana_mm.functional import noise_aware_loss_with_logits
from benchmarks.harness import Candidate, Options, Row, compare
from benchmarks.slow.nal import index_list_loss

TEMPERATURE = 20.0


def rows(options: Options) -> Iterator[Row]:
    """(10, 21, 321, 321) logits, 20 % of the pixels unreliable."""
    shape = (1, 5, 33, 33) if options.quick else (10, 21, 321, 321)

    def candidate(name):
        return Candidate(make, (name, shape, options.device))

    yield compare(
        options, 'NAL', candidate('nal'), 'cross entropy', candidate('cross entropy'), '>= 0.5; memory <= 1.5 x'
    )
    yield compare(options, 'NAL', candidate('nal'), 'index lists', candidate('index lists'))


def make(name: str, shape: tuple[int, int, int, int], device: str) -> Callable[[], None]:
    """A forward and backward pass of one loss on the same logits."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(shape, generator=generator) * 1.8 - 0.9  # cosines
    label_shape = (shape[0], *shape[2:])
    label = torch.randint(0, shape[1], label_shape, generator=generator).to(device)
    reliable = (torch.rand(label_shape, generator=generator) > 0.2).to(device)
    if name != 'index lists':
        scores.mul_(TEMPERATURE)
    leaf = scores.to(device).requires_grad_()

    def loss() -> torch.Tensor:
        if name == 'cross entropy':
            return F.cross_entropy(leaf, label)
        function = index_list_loss if name == 'index lists' else noise_aware_loss_with_logits
        return sum(function(leaf, label, reliable, TEMPERATURE))

    def run() -> None:
        leaf.grad = None
        loss().backward()

    return run
