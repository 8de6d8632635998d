"""Importance sampling loss (Jonnarth, Zhang and Felsberg: High-fidelity pseudo-labels, WACV 2024).

Instead of averaging a class's scores over the image, a classifier learns from the scores at some positions, drawn where
the class is probable: in between average and maximum pooling, and without the former's share of background.

Symbols: N images, C classes, a grid of h x w cells, P = h*w positions, M rows: pairs of image and class, or boxes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32

# Added to posteriors, so that every position may be drawn.
MIN_POSTERIOR = 1e-5


def importance_sampled_mean(
    values: Tensor,
    proposal: Tensor,
    num_samples: int | None = 10,
    generator: torch.Generator | None = None,
    counted: Tensor | None = None,
) -> Tensor:
    r"""Mean of values at positions that are drawn from a distribution.

    .. math:: \frac{1}{M K} \sum_i \sum_k v_i(p_{ik}), \quad p_{ik} \sim \frac{q_i(p)}{\sum_p q_i(p)}

    with replacement, or its expectation :math:`\frac1M \sum_i \sum_p q_i(p) v_i(p) / \sum_p q_i(p)`, whose gradient is
    the mean of that of the former without its noise (ours). No gradient goes through the proposal.

    Args:
        values (Tensor): v, (M, P) float.
        proposal (Tensor): q, (M, P), >= 0; NaN counts as zero. Rows without any weight count not at all.
        num_samples (int | None): K; None takes the expectation. Defaults to 10 (reference code).
        generator (torch.Generator | None): Draws the positions. Defaults to None, torch's own.
        counted (Tensor | None): Rows that count, (M,) bool. Defaults to None, all.

    Returns:
        Tensor: Scalar; zero with zero gradient where no row counts.
    """
    if values.shape != proposal.shape or values.dim() != 2:
        raise ValueError(f'values and proposal must be (M, P), got {tuple(values.shape)} and {tuple(proposal.shape)}')
    proposal = proposal.detach().to(values.dtype).nan_to_num(0, 0, 0).clamp(min=0)
    total = proposal.sum(dim=1, keepdim=True)
    counts = total[:, 0] > 0 if counted is None else (total[:, 0] > 0) & counted
    if not len(values):
        return values.sum()
    if num_samples is None:
        rows = (proposal / total.masked_fill(total == 0, 1) * values).sum(dim=1)
    else:
        # a row without weight can't be drawn from, and takes part with weight zero
        index = proposal.masked_fill(total == 0, 1).multinomial(num_samples, replacement=True, generator=generator)
        rows = values.gather(1, index).mean(dim=1)
    return torch.where(counts, rows, 0).sum() / counts.sum().clamp(min=1)


def importance_sampling_loss(
    logits: Tensor,
    target: Tensor,
    num_samples: int | None = 10,
    proposal: Tensor | None = None,
    region: Tensor | None = None,
    generator: torch.Generator | None = None,
    counted: Tensor | None = None,
    eps: float = MIN_POSTERIOR,
) -> Tensor:
    r"""Importance sampling loss of independent binary problems (binomial posterior).

    .. math:: L = \frac{1}{M K} \sum_{i, k} \operatorname{BCE}(z_i(p_{ik}), y_i), \quad
        p_{ik} \sim \sigma(z_i(p)) + \epsilon

    For absent classes it pushes down the highest false activations. Half precision is computed in float32.

    Args:
        logits (Tensor): z, (M, P) float.
        target (Tensor): y, (M,), 0 or 1.
        num_samples (int | None): K; None takes the exact expectation (ours). Defaults to 10 (reference code).
        proposal (Tensor | None): Where to draw, (M, P), >= 0, in place of :math:`\sigma(z)`, such as the posterior of
            :func:`multinomial_posterior` or the background attention's 1 - A (ours). Defaults to None.
        region (Tensor | None): Positions that may be drawn, (M, P) bool, or weights. Defaults to None, all.
        generator (torch.Generator | None): Draws the positions. Defaults to None, torch's own.
        counted (Tensor | None): Rows that count, (M,) bool. Defaults to None, all.
        eps (float): Added to the proposal; where it is tiny all over, positions are drawn evenly. Defaults to 1e-5.

    Returns:
        Tensor: Scalar, >= 0.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = at_least_float32(logits)
        proposal = (logits.detach().sigmoid() if proposal is None else proposal.to(logits.dtype)) + eps
        if region is not None:
            proposal = proposal * region
        target = target.to(logits.dtype)[:, None].expand_as(logits)
        values = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
        return importance_sampled_mean(values, proposal, num_samples, generator, counted)


def multinomial_posterior(logits: Tensor, eps: float = 1e-3) -> tuple[Tensor, Tensor]:
    r"""Posterior and binary logits of classes that exclude each other: the predecessor of the binomial form (ICAM).

    .. math:: q = \operatorname{softmax}(z), \quad z' = \log \frac{(1 - \epsilon) q + \epsilon}{1 - (1 - \epsilon) q}

    Args:
        logits (Tensor): z, (N, C + 1, h, w) float, background first.
        eps (float): Keeps the logits finite. Defaults to 1e-3 (reference code).

    Returns:
        tuple[Tensor, Tensor]: q and z' of the classes without the background, (N, C, h, w) each. Both losses take them
        as ``proposal`` and ``logits``.
    """
    posterior = logits.softmax(dim=1)[:, 1:]
    scaled = posterior * (1 - eps)
    return posterior, (scaled + eps).log() - (1 - scaled).log()
