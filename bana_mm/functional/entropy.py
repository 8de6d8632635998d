"""Entropy of a pixel's prediction, which entropy regularisation makes small where a label is not to be trusted."""

from torch import Tensor


def entropy(log_probability: Tensor) -> Tensor:
    r"""Shannon entropy over the classes (Grandvalet and Bengio 2005, the paper's reference 17).

    .. math:: h(p) = -\sum_c H_c(p) \log H_c(p)

    From 0 where one class has all probability to :math:`\log C` where all are alike. It needs no label.

    Args:
        log_probability (Tensor): log H, (N, C, H, W) float: finite, as ``log_softmax`` of finite logits is.

    Returns:
        Tensor: (N, H, W), in nats.
    """
    return -(log_probability.exp() * log_probability).sum(dim=1)
