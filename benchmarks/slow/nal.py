"""Paper Eq. 10-14 with lists of pixels, as the authors' code picks them, and autograd."""

import torch.nn.functional as F
from torch import Tensor


def index_list_loss(
    cosine: Tensor,
    label: Tensor,
    reliable: Tensor,
    temperature: float = 20.0,
    gamma: float = 7.0,
    balance: float = 0.1,
    detach: bool = False,
) -> tuple[Tensor, Tensor]:
    """Both terms of the loss, where both kinds of pixels exist.

    Args:
        cosine (Tensor): (N, C, H, W).
        label (Tensor): (N, H, W) int64, 255 is ignored.
        reliable (Tensor): S, (N, H, W) bool.
        temperature (float): Defaults to 20.0.
        gamma (float): Defaults to 7.0.
        balance (float): lambda. Defaults to 0.1.
        detach (bool): Whether sigma is held constant. Defaults to False.
    """
    scores = cosine.movedim(1, -1)
    valid = label != 255
    trusted, doubted = valid & reliable, valid & ~reliable
    loss_ce = F.cross_entropy(temperature * scores[trusted], label[trusted])
    correlation = 1 + scores[doubted]  # (P, C), Eq. 11
    own = correlation[list(range(len(correlation))), label[doubted]]
    confidence = (own / correlation.max(dim=1).values) ** gamma  # Eq. 12
    confidence = confidence.detach() if detach else confidence
    each = F.cross_entropy(temperature * scores[doubted], label[doubted], reduction='none')
    return loss_ce, balance * (confidence * each).sum() / confidence.sum()
