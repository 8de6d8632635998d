"""Noise-aware loss of masks with one logit a pixel (ours: the paper trains masks on S alone)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .noise_aware import MIN_CORRELATION
from .precision import at_least_float32
from .region_mean import region_mean


def noise_aware_mask_loss(
    logits: Tensor,
    target: Tensor,
    reliable: Tensor,
    temperature: float = 20.0,
    gamma: float = 7.0,
    balance: float = 0.1,
    detach_confidence: bool = False,
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

    Returns:
        tuple[Tensor, Tensor]: The two terms, scalars; their sum is the loss, the second is already times ``balance``.

    Raises:
        ValueError: If shapes differ, or ``reliable`` is not bool.
    """
    if target.shape != logits.shape:
        raise ValueError(f'target must be of shape {tuple(logits.shape)}, got {tuple(target.shape)}')
    logits = at_least_float32(logits)
    loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction='none')
    loss_reliable = region_mean(loss, reliable)
    cosine = (logits.detach() if detach_confidence else logits)[~reliable] / (2 * temperature)  # (M, )
    if not len(cosine):
        return loss_reliable, logits[:0].sum()
    own = torch.where(target[~reliable] > 0, cosine, -cosine)
    log_confidence = gamma * ((1 + own).clamp(min=MIN_CORRELATION).log() - (1 + cosine.abs()).log())
    # sigma over its sum, which does not vanish even where all pixels are sure of the contrary
    return loss_reliable, balance * (log_confidence.softmax(dim=0) * loss[~reliable]).sum()
