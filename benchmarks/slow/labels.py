"""Stage 2 on features upsampled to the image (paper Sec. 3.2 with the reference code's choices), in plain PyTorch.

Boxes are whole pixels and don't overlap within a class; there is background, and no CAM is empty.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def image_size_unaries(
    feats: Tensor, weight: Tensor, size: tuple[int, int], boxes: Sequence[Sequence[int]], labels: Sequence[int]
) -> Tensor:
    """Probabilities for the CRF (Eq. 1-3 and 5-7).

    Args:
        feats (Tensor): (D, h, w).
        weight (Tensor): Classifier weights, (L + 1, D).
        size (tuple[int, int]): Height and width of the image in pixels.
        boxes (Sequence[Sequence[int]]): xyxy in pixels, half-open.
        labels (Sequence[int]): Of each box, 0..L-1.

    Returns:
        Tensor: (C + 1, H, W), background first, then the image's classes in ascending order.
    """
    large = _upsample(feats, size)
    background = _background(size, boxes).to(feats.device)
    query = F.normalize(large[:, background].mean(1), dim=0)
    attention = torch.einsum('d,dhw->hw', query, F.normalize(large, dim=0)).relu()
    attention[attention < 0.99 * attention.max()] = 0
    classes = sorted(set(labels))
    unary = large.new_zeros(1 + len(classes), *size)
    unary[0] = attention
    for (x1, y1, x2, y2), label in zip(boxes, labels):
        cam = torch.einsum('d,dhw->hw', weight[label + 1], large[:, y1:y2, x1:x2]).relu()
        unary[1 + classes.index(label), y1:y2, x1:x2] = cam / cam.max()
    certain = torch.eye(len(unary)).to(large)[0][:, None, None]
    return torch.where(background, certain, unary.softmax(0))


def image_size_retrieval(
    feats: Tensor,
    weight: Tensor,
    size: tuple[int, int],
    boxes: Sequence[Sequence[int]],
    labels: Sequence[int],
    y_crf: np.ndarray,
) -> np.ndarray:
    """Y_ret (Eq. 8 and 9), (H, W); arguments as above, and Y_crf, (H, W) class indices."""
    large = _upsample(feats, size)
    classes = sorted(set(labels))
    prototypes = []
    for index in (0, *(label + 1 for label in classes)):
        mask = torch.from_numpy(y_crf == index).to(feats.device)
        prototypes.append(large[:, mask].mean(1) if mask.any() else weight[index])
    directions = F.normalize(torch.stack(prototypes), dim=1)
    correlation = torch.einsum('cd,dhw->chw', directions, F.normalize(large, dim=0)).relu()
    correlation[0][_background(size, boxes).to(feats.device)] = 1
    for row, label in enumerate(classes, start=1):
        own = [box for box, its_label in zip(boxes, labels) if its_label == label]
        correlation[row] *= ~_background(size, own).to(feats.device)
    return np.array([0, *(label + 1 for label in classes)])[correlation.argmax(0).cpu().numpy()]


def _upsample(feats: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(feats[None], size, mode='bilinear', align_corners=True)[0]


def _background(size: tuple[int, int], boxes: Sequence[Sequence[int]]) -> Tensor:
    mask = torch.ones(size, dtype=torch.bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = False
    return mask
