"""Visual words: parts of objects that a network tells apart on its own (Ru et al., IJCAI 2021 and IJCV 2022).

A codebook C of k words encodes the features F of an image: every position has a word, and the words of an image are
further labels of it. Its histogram of words is to say the image's classes, which is what the codebook learns from; the
features learn nothing from it.

Symbols: N images, D channels, a grid of h x w cells, P = h*w positions, k words.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32


class WordAssignment(NamedTuple):
    """The words of a batch.

    Attributes:
        index (Tensor): Word of each position, Y (Eq. 3), (N, P) int64; k outside the region.
        histogram (Tensor): H, the sum over positions of the probabilities of Eq. 2, (N, k); with gradient to the
            codebook alone.
        present (Tensor): Which words occur in an image, y^word, (N, k) bool.
    """

    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which nobody needs here
    histogram: Tensor
    present: Tensor


def assign_words(
    feats: Tensor, codebook: Tensor, temperature: float = 1.0, region: Tensor | None = None
) -> WordAssignment:
    r"""Words of every position (visual words Eq. 1-3).

    .. math:: S_{ij} = \frac{F_i \cdot C_j}{\|F_i\| \|C_j\|}, \quad P_{ij} = \frac{e^{\tau S_{ij}}}{\sum_m e^{\tau
        S_{im}}}, \quad Y_i = \arg\max_j P_{ij}, \quad H_j = \sum_i P_{ij}

    The features are held constant (reference code; the paper's figure does not show it). H is a sum and no mean, so
    that it grows with the map (reference code). Half precision is computed in float32.

    Args:
        feats (Tensor): F, (N, D, h, w) float.
        codebook (Tensor): C, (k, D) float.
        temperature (float): tau. With 1 the probabilities of many words are almost the same. Defaults to 1.0.
        region (Tensor | None): Positions that count, (N, h, w) bool. Defaults to None, all (padding too, as in the
            reference code).

    Returns:
        WordAssignment: See there. Of equally near words the first is taken.

    Raises:
        ValueError: If channels or shapes do not fit.
    """
    if codebook.dim() != 2 or codebook.size(1) != feats.size(1):
        raise ValueError(f'codebook must have shape (k, {feats.size(1)}), got {tuple(codebook.shape)}')
    if region is not None and region.shape != (len(feats), *feats.shape[2:]):
        raise ValueError(f'region must have shape {(len(feats), *feats.shape[2:])}, got {tuple(region.shape)}')
    with torch.autocast(feats.device.type, enabled=False):
        directions = F.normalize(at_least_float32(feats.detach()).flatten(2), dim=1)  # (N, D, P)
        similarity = F.normalize(codebook.to(directions.dtype), dim=1) @ directions  # (N, k, P)
        probability = (temperature * similarity).softmax(dim=1)
        index = similarity.detach().argmax(dim=1)  # (N, P)
        if region is not None:
            probability = probability * region.flatten(1)[:, None]
            index = index.masked_fill(~region.flatten(1), len(codebook))
    present = torch.zeros(len(feats), len(codebook) + 1, dtype=torch.bool, device=feats.device)
    return WordAssignment(index, probability.sum(dim=2), present.scatter_(1, index, True)[:, :-1])


def word_sums(feats: Tensor, index: Tensor, num_words: int) -> tuple[Tensor, Tensor]:
    """Sum and number of the features of each word.

    Args:
        feats (Tensor): F, (N, D, h, w) float.
        index (Tensor): Words from :func:`assign_words`, (N, P) int64; k for positions without one.
        num_words (int): k.

    Returns:
        tuple[Tensor, Tensor]: (k, D) and (k,), both float; no gradient.
    """
    rows = at_least_float32(feats.detach()).flatten(2).transpose(1, 2).flatten(0, 1)  # (N*P, D)
    sums = rows.new_zeros(num_words + 1, rows.size(1)).index_add_(0, index.flatten(), rows)
    counts = rows.new_zeros(num_words + 1).index_add_(0, index.flatten(), rows.new_ones(len(rows)))
    return sums[:-1], counts[:-1]


def update_codebook(codebook: Tensor, sums: Tensor, counts: Tensor, momentum: float = 1e-3) -> Tensor:
    r"""Move words towards the mean of their features (memory bank, VWL-M).

    .. math:: C_j \leftarrow (1 - \rho) C_j + \rho \, m_j

    Words without a feature stay where they are (ours: in the reference code they shrink towards zero).

    Args:
        codebook (Tensor): C, (k, D) float.
        sums (Tensor): Sums of features, of all processes together, (k, D).
        counts (Tensor): Their numbers, (k,).
        momentum (float): rho. Defaults to 1e-3 (reference code's training script).

    Returns:
        Tensor: (k, D).
    """
    means = sums / counts.clamp(min=1)[:, None]
    return torch.where(counts[:, None] > 0, torch.lerp(codebook, means.to(codebook.dtype), momentum), codebook)


def word_decorrelation(codebook: Tensor, eps: float = 1e-12) -> Tensor:
    r"""How much the words of a codebook are alike (VWL-L).

    .. math:: L = \tfrac12 \left( \|G\|_F - \|\operatorname{diag} G\|_2 \right), \quad
        G = \bar C \bar C^\top

    with the mean over the channels taken away from each word. As in the reference code the norms are not squared.

    Args:
        codebook (Tensor): C, (k, D) float.
        eps (float): Added to the squares under both roots, which keeps the gradient finite for words of zero.
            Defaults to 1e-12.

    Returns:
        Tensor: Scalar, >= 0; 0 for orthogonal words.
    """
    with torch.autocast(codebook.device.type, enabled=False):
        centred = at_least_float32(codebook)
        centred = centred - centred.mean(dim=1, keepdim=True)
        gram = centred @ centred.T
        return ((gram.square().sum() + eps).sqrt() - (gram.diagonal().square().sum() + eps).sqrt()) / 2
