"""Noise-aware loss (NAL, paper Eq. 10-14): cross entropy that trusts a doubtful label as far as the network agrees.

Shapes: N images, C classes with the background, H x W pixels. ``cosine`` is the similarity of a pixel's feature with
each classifier weight, the logits are ``temperature * cosine``.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import at_least_float32
from .reduction import check_reduction, log_sum_exp_over_ranks, num_ranks, sum_over_ranks

# Smallest correlation D = 1 + cosine: keeps Eq. 12 and its gradient finite where every cosine is -1.
MIN_CORRELATION = 1e-6


def _correlation(cosine: Tensor) -> Tensor:
    """D of Eq. 11. Rounding may push a cosine slightly under -1; a negative base would make Eq. 12 NaN."""
    return (1 + cosine).clamp(min=MIN_CORRELATION)


def _class_index(label: Tensor, ignored: Tensor) -> Tensor:
    """Labels as an index over dim 1, (N, 1, H, W), with class 0 standing in where they are ignored."""
    return label.masked_fill(ignored, 0).unsqueeze(1)


def confidence_map(cosine: Tensor, label: Tensor, gamma: float = 7.0, ignore_index: int = 255) -> Tensor:
    r"""How far the network agrees with each label (paper Eq. 11 and 12).

    .. math:: \sigma(p) = \left( \frac{D_{c^*}(p)}{\max_c D_c(p)} \right)^\gamma, \quad D_c(p) = 1 + \cos(\phi(p), W_c)

    with :math:`c^*` the label. 1 where the label is also the network's choice, towards 0 the more another class wins.

    Args:
        cosine (Tensor): (N, C, H, W) float in [-1, 1].
        label (Tensor): (N, H, W) int64 in 0..C-1 or ``ignore_index``.
        gamma (float): Damping. Defaults to 7.0 (paper).
        ignore_index (int): Label of the pixels whose confidence is 0. Defaults to 255.

    Returns:
        Tensor: sigma, (N, H, W) in [0, 1], with gradients to ``cosine``.
    """
    _check(cosine, label)
    ignored = label == ignore_index
    own = cosine.gather(1, _class_index(label, ignored)).squeeze(1)
    ratio = _correlation(own) / _correlation(cosine.amax(dim=1))
    return (ratio**gamma).masked_fill(ignored, 0)


def noise_aware_loss(
    cosine: Tensor,
    label: Tensor,
    reliable: Tensor,
    temperature: float = 20.0,
    gamma: float = 7.0,
    balance: float = 0.1,
    ignore_index: int = 255,
    detach_confidence: bool = False,
    reduce: str = 'local',
) -> tuple[Tensor, Tensor]:
    r"""Noise-aware loss of cosines (paper Eq. 10-14).

    .. math::
        \mathcal{L} = -\frac{1}{|S|} \sum_{p \in S} \log H_{c^*}(p)
        - \lambda \frac{\sum_{p \notin S} \sigma(p) \log H_{c^*}(p)}{\sum_{p \notin S} \sigma(p)}

    with H the softmax over ``temperature * cosine`` and sigma of :func:`confidence_map`. A term without a pixel is
    zero, with zero gradient (the reference code divides 0 by 0). Half precision is computed in float32.

    Args:
        cosine (Tensor): (N, C, H, W) float in [-1, 1].
        label (Tensor): (N, H, W) int64 in 0..C-1 or ``ignore_index``: Y_crf.
        reliable (Tensor): S, (N, H, W) bool; its values at ignored pixels don't matter.
        temperature (float): Defaults to 20.0 (reference code; the paper does not give it).
        gamma (float): Damping of Eq. 12. Defaults to 7.0 (paper).
        balance (float): lambda of Eq. 14. Defaults to 0.1 (paper).
        ignore_index (int): Label of the pixels that count in neither term. Defaults to 255.
        detach_confidence (bool): Hold sigma constant, so that no gradient goes through it or its sum. The paper is
            silent; the reference code does not. Defaults to False.
        reduce (str): 'local' divides each term by the pixels, or their sigma, of this process (reference code);
            'global' by those of all processes, which then learn as one with the joined batch, see
            :mod:`bana_mm.functional.reduction`. Defaults to 'local'.

    Returns:
        tuple[Tensor, Tensor]: The two terms, scalars; their sum is the loss, the second is already times ``balance``.
    """
    return noise_aware_loss_with_logits(
        cosine * temperature, label, reliable, temperature, gamma, balance, ignore_index, detach_confidence, reduce
    )


def noise_aware_loss_with_logits(
    logits: Tensor,
    label: Tensor,
    reliable: Tensor,
    temperature: float = 20.0,
    gamma: float = 7.0,
    balance: float = 0.1,
    ignore_index: int = 255,
    detach_confidence: bool = False,
    reduce: str = 'local',
) -> tuple[Tensor, Tensor]:
    """:func:`noise_aware_loss` of ``logits`` = temperature * cosine, which spares a copy of the largest tensor."""
    _check(logits, label)
    if reliable.shape != label.shape or reliable.dtype != torch.bool:
        raise ValueError(
            f'reliable must be bool of shape {tuple(label.shape)}, got {reliable.dtype} of shape '
            f'{tuple(reliable.shape)}'
        )
    logits = at_least_float32(logits)
    return _NoiseAwareLoss.apply(
        logits, label, reliable, temperature, gamma, balance, ignore_index, detach_confidence, check_reduction(reduce)
    )


def _check(scores: Tensor, label: Tensor) -> None:
    if scores.dim() != 4 or label.shape != scores.shape[:1] + scores.shape[2:]:
        raise ValueError(
            f'expected scores (N, C, H, W) and label (N, H, W), got {tuple(scores.shape)} and {tuple(label.shape)}'
        )


class _NoiseAwareLoss(torch.autograd.Function):
    """Both terms with one tensor of the logits' size in the forward pass and one more in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        label: Tensor,
        reliable: Tensor,
        temperature: float,
        gamma: float,
        balance: float,
        ignore_index: int,
        detach_confidence: bool,
        reduce: str,
    ) -> tuple[Tensor, Tensor]:
        ignored = label == ignore_index
        target = _class_index(label, ignored)  # (N, 1, H, W), as all maps below
        trusted = (reliable & ~ignored).unsqueeze(1)
        doubted = ~(reliable | ignored).unsqueeze(1)
        peak, best = logits.max(dim=1, keepdim=True)
        exponential = (logits - peak).exp_()  # (N, C, H, W)
        total = exponential.sum(dim=1, keepdim=True)
        own = logits.gather(1, target)
        loss = peak - own + total.log()  # -log H
        own, peak = _correlation(own / temperature), _correlation(peak / temperature)
        # sigma / sum(sigma), by way of logarithms: there may be pixels without one whose sigma is above zero in floats
        log_confidence = (own.log() - peak.log()).mul_(gamma).masked_fill_(~doubted, -torch.inf)
        log_sum = log_sum_exp_over_ranks(log_confidence.flatten(), reduce).clamp(min=torch.finfo(logits.dtype).min)
        share = (log_confidence - log_sum).exp_()

        ranks = num_ranks(reduce)
        num_trusted = sum_over_ranks(trusted.sum(), reduce).clamp(min=1)
        loss_ce = (loss * trusted).sum() * ranks / num_trusted
        own_wce = (loss * share).sum()
        loss_wce = sum_over_ranks(own_wce, reduce)
        ctx.save_for_backward(exponential, total, target, best, own, peak, loss, loss_wce, share, trusted, num_trusted)
        ctx.settings = temperature, gamma, balance * ranks, detach_confidence, ranks
        return loss_ce, own_wce * (balance * ranks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ce: Tensor, grad_wce: Tensor) -> tuple[Tensor | None, ...]:
        exponential, total, target, best, own, peak, loss, loss_wce, share, trusted, num_trusted = ctx.saved_tensors
        temperature, gamma, balance, detach_confidence, ranks = ctx.settings
        share = share * (grad_wce * balance)
        # Cross entropy weighted by `weight`: weight * (H - onehot).
        weight = trusted * (grad_ce * ranks / num_trusted) + share
        grad = exponential * (weight / total)
        grad_own = -weight
        if not detach_confidence:
            # dL/dsigma = (loss - loss_wce) / sum(sigma); dsigma/dD = +-gamma sigma / D at the label and at the maximum.
            slope = share * (loss - loss_wce) * (gamma / temperature)
            grad_own = grad_own + slope / own * (own > MIN_CORRELATION)
            grad.scatter_add_(1, best, -slope / peak * (peak > MIN_CORRELATION))
        grad.scatter_add_(1, target, grad_own)
        return grad, *[None] * 8
