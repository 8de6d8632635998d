"""Class activation maps (paper Eq. 6)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def class_activation(feats: Tensor, weight: Tensor) -> Tensor:
    r"""Class activation maps (paper Eq. 6).

    .. math:: \mathrm{CAM}_c(p) = \mathrm{ReLU}(f(p) \cdot w_c)

    Args:
        feats (Tensor): Features f, (N, D, h, w) float.
        weight (Tensor): Classifier weights w, (C, D) float.

    Returns:
        Tensor: (N, C, h, w), >= 0.
    """
    return F.relu(torch.einsum('ndhw,cd->nchw', feats, weight))
