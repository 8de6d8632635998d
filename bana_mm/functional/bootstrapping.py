"""Bootstrapping: labels that the network's own predictions correct while it learns."""

import torch.nn.functional as F
from torch import Tensor

from .entropy import entropy


def bootstrapped_cross_entropy(
    log_probability: Tensor, label: Tensor, beta: float, hard: bool = False, ignore_index: int = 255
) -> Tensor:
    r"""Cross entropy with a mixture of label and prediction (Reed et al. 2015, the paper's reference 46).

    .. math:: \ell(p) = -\sum_c \left( \beta\, [c = c^*] + (1 - \beta)\, q_c(p) \right) \log H_c(p)

    with :math:`c^*` the label. Soft: :math:`q = H`, with gradients, which makes the second part the entropy. Hard:
    :math:`q` is 1 for the most probable class and 0 for the others, without gradients.

    Args:
        log_probability (Tensor): log H, (N, C, H, W) float.
        label (Tensor): (N, H, W) int64 in 0..C-1 or ``ignore_index``.
        beta (float): Share of the label, 0 to 1; 1 is cross entropy.
        hard (bool): Defaults to False.
        ignore_index (int): Label of the pixels whose loss is 0. Defaults to 255.

    Returns:
        Tensor: Loss of every pixel, (N, H, W).
    """
    from_label = F.nll_loss(log_probability, label, ignore_index=ignore_index, reduction='none')
    from_prediction = -log_probability.amax(dim=1) if hard else entropy(log_probability)
    return beta * from_label + (1 - beta) * from_prediction.masked_fill(label == ignore_index, 0)
