"""Noise-aware loss of masks with one logit a pixel (ours: the paper trains masks on S alone)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .noise_aware import MIN_CORRELATION
from .precision import at_least_float32
from .reduction import log_sum_exp_over_ranks, num_ranks, sum_over_ranks
from .region_mean import region_mean


def noise_aware_mask_loss(
    logits: Tensor,
    target: Tensor,
    reliable: Tensor,
    temperature: float = 20.0,
    gamma: float = 7.0,
    balance: float = 0.1,
    detach_confidence: bool = False,
    reduce: str = 'local',
) -> tuple[Tensor, Tensor]:
    r"""Sigmoid analogue of the noise-aware loss (ours).

    A sigmoid of z is the softmax over (-z / 2, z / 2), the logits of background and object. Read as ``temperature``
    times the cosines with two opposite classifier weights, they give the paper's Eq. 11-14:

    .. math::
        \mathcal{L} = \frac{1}{|S|} \sum_{p \in S} \ell(p)
        + \lambda \frac{\sum_{p \notin S} \sigma(p) \ell(p)}{\sum_{p \notin S} \sigma(p)}, \quad
        \sigma(p) = \left( \frac{\max(1 + s z / 2T, 0)}{1 + |z| / 2T} \right)^\gamma

    with :math:`\ell` the binary cross entropy, s = 1 on the object and -1 on the background: sigma is 1 where the mask
    agrees with its label, and falls the surer the mask is of the contrary. A term without a pixel is zero, with zero
    gradient. Half precision is computed in float32.

    Args:
        logits (Tensor): z, (N, H, W).
        target (Tensor): Pseudo masks, (N, H, W), 0 or 1 of any dtype.
        reliable (Tensor): S, (N, H, W) bool.
        temperature (float): T, which scales z to a cosine. Defaults to 20.0, as for semantic segmentation.
        gamma (float): Damping of sigma. Defaults to 7.0 (paper).
        balance (float): lambda. Defaults to 0.1 (paper).
        detach_confidence (bool): Hold sigma constant. Defaults to False.
        reduce (str): 'local' divides each term by the pixels, or their sigma, of this process;
            'global' by those of all processes, which then learn as one with the joined batch, see
            :mod:`bana_mm.functional.reduction`. Defaults to 'local'.

    Returns:
        tuple[Tensor, Tensor]: The two terms, scalars; their sum is the loss, the second is already times ``balance``.

    Raises:
        ValueError: If shapes differ, or ``reliable`` is not bool.
    """
    if target.shape != logits.shape:
        raise ValueError(f'target must be of shape {tuple(logits.shape)}, got {tuple(target.shape)}')
    logits = at_least_float32(logits)
    loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction='none')
    loss_reliable = region_mean(loss, reliable, reduce)
    cosine = (logits.detach() if detach_confidence else logits)[~reliable] / (2 * temperature)  # (M, )
    ranks = num_ranks(reduce)
    if not len(cosine) and ranks == 1:
        return loss_reliable, logits[:0].sum()
    own = torch.where(target[~reliable] > 0, cosine, -cosine)
    log_confidence = gamma * ((1 + own).clamp(min=MIN_CORRELATION).log() - (1 + cosine.abs()).log())
    doubted = loss[~reliable]
    # sigma over its sum, which does not vanish even where all pixels are sure of the contrary
    if ranks == 1:
        return loss_reliable, balance * (log_confidence.softmax(dim=0) * doubted).sum()
    log_sum = log_sum_exp_over_ranks(log_confidence, reduce).clamp(min=torch.finfo(logits.dtype).min)
    share = (log_confidence - log_sum).exp()
    mean = sum_over_ranks((share * doubted).sum(), reduce)
    # The second summand is zero and has the gradient through the sum of sigma, which is made of all processes' pixels.
    term = (share * doubted).sum() - mean * (share - share.detach()).sum()
    return loss_reliable, balance * ranks * term + logits[:0].sum()
