"""Sums over the processes of a distributed training, by which losses are normalised.

Distributed training averages the gradients of W processes. A loss N / D of a joined batch, with N and D sums over its
pixels, is therefore ``W * N_r / sum(D_r)`` in process r: 'global'. Each process's own ``N_r / D_r``, 'local', makes a
pixel count the more the fewer its process has. Without several processes both are the same.
"""

import torch
import torch.distributed as dist
from torch import Tensor

REDUCTIONS = ('local', 'global')


def check_reduction(reduce: str) -> str:
    """One of :data:`REDUCTIONS`, or a ValueError."""
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be 'local' or 'global', got {reduce!r}")
    return reduce


def num_ranks(reduce: str) -> int:
    """W, the processes that share a sum; 1 for 'local'."""
    return dist.get_world_size() if _is_shared(reduce) else 1


def sum_over_ranks(value: Tensor, reduce: str) -> Tensor:
    """The sum of a value over all processes, without gradient; the value itself for 'local'.

    With 'global' every process must call this as often as the others, whatever it has to add.

    Args:
        value (Tensor): Of the same shape everywhere.
        reduce (str): 'local' or 'global'.
    """
    if not _is_shared(reduce):
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def log_sum_exp_over_ranks(values: Tensor, reduce: str) -> Tensor:
    """Logarithm of the sum of exponentials over all values of all processes, without gradient for 'global'.

    Args:
        values (Tensor): (M,) float, -inf allowed; any number in each process, also none.
        reduce (str): See :func:`sum_over_ranks`.

    Returns:
        Tensor: Scalar; -inf where there is no value.
    """
    if not _is_shared(reduce):
        return values.logsumexp(dim=0)
    values = values.detach()
    peak = values.max() if len(values) else values.new_tensor(-torch.inf)
    dist.all_reduce(peak, dist.ReduceOp.MAX)
    total = (values - peak.clamp(min=torch.finfo(values.dtype).min)).exp().sum()
    dist.all_reduce(total)
    return peak + total.log()


def _is_shared(reduce: str) -> bool:
    return reduce == 'global' and dist.is_available() and dist.is_initialized()
