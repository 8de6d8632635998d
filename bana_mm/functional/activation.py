"""Class activation maps (paper Eq. 6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32


def class_activation(feats: Tensor, weight: Tensor) -> Tensor:
    r"""Class activation maps (paper Eq. 6).

    .. math:: \mathrm{CAM}_c(p) = \mathrm{ReLU}(f(p) \cdot w_c)

    Args:
        feats (Tensor): Features f, (N, D, h, w) float; half precision is computed in float32.
        weight (Tensor): Classifier weights w, (C, D) float.

    Returns:
        Tensor: (N, C, h, w), >= 0.
    """
    return F.relu(torch.einsum('ndhw,cd->nchw', at_least_float32(feats), at_least_float32(weight)))
