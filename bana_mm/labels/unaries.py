"""From what the classifier sees in an image to the unaries of its CRF (paper Eq. 5 and 7).

Functions of maps, boxes and recipe; the classifier's weights are no more needed here.
"""

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import (
    activation_scores,
    background_activation_score,
    background_score,
    class_scores,
    inside_boxes,
    recognised_boxes,
    stretch_in_boxes,
    stretched_background_score,
    unary_probability,
)
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps

from .crf import LabelTask


@torch.no_grad()
def background_unary(maps: ActivationMaps, layout: BoxLayout, recipe: LabelRecipe) -> Tensor:
    """Background unary u_0 (paper Eq. 7), from the source that the recipe names.

    Args:
        maps (ActivationMaps): Of the image.
        layout (BoxLayout): Its boxes.
        recipe (LabelRecipe): See its fields ``background``, ``threshold``, ``threshold_mode``, ``background_range`` and
            ``min_recognised``.

    Returns:
        Tensor: (H, W) in [0, 1].
    """
    if recipe.background == 'none':
        return torch.zeros_like(maps.attention)
    if recipe.background_range == 'box':
        activation = stretched_background_score(maps.activation[0], layout.boxes)
    else:
        activation = background_activation_score(maps.activation[0])
    if recipe.min_recognised > 0:
        known = recognised_boxes(maps.activation, layout.boxes, layout.rows, recipe.min_recognised).cpu()
        trusted = inside_boxes(layout.boxes[known], layout.size) | ~inside_boxes(layout.boxes, layout.size)
        activation = torch.where(trusted.to(activation.device), activation, 0)
    if recipe.background == 'cam':
        return activation
    if recipe.threshold_mode == 'box':
        attention = stretched_background_score(maps.attention, layout.boxes, recipe.threshold)
    else:
        attention = background_score(maps.attention, recipe.threshold, recipe.threshold_mode == 'relative')
    return attention if recipe.background == 'attention' else torch.maximum(attention, activation)


@torch.no_grad()
def box_scores(maps: ActivationMaps, layout: BoxLayout, recipe: LabelRecipe) -> tuple[list[Tensor], Tensor]:
    """Foreground unary u_c in each box (paper Eq. 5), by the recipe's ``score`` and ``normalise``.

    Args:
        maps (ActivationMaps): Of the image.
        layout (BoxLayout): Its boxes.
        recipe (LabelRecipe): The recipe.

    Returns:
        tuple[list[Tensor], Tensor]: (y2 - y1, x2 - x1) in [0, 1] for each box, and in which boxes the CAM of the class
        is zero everywhere, (K,) bool.
    """
    activation, unseen = activation_scores(
        maps.activation[1:], layout.boxes, layout.rows, 1 - maps.attention, recipe.normalise, recipe.empty
    )
    if recipe.score == 'cam':
        return activation, unseen
    attention = [1 - stretched for stretched in stretch_in_boxes(maps.attention, layout.boxes)]
    if recipe.score == 'attention':
        return attention, unseen
    # An empty CAM is no second opinion: its stand-in comes from the attention as well.
    return [torch.where(no_cam, b, (a + b) / 2) for a, b, no_cam in zip(activation, attention, unseen)], unseen


@torch.no_grad()
def label_task(image: np.ndarray, maps: ActivationMaps | None, layout: BoxLayout, recipe: LabelRecipe) -> LabelTask:
    """Input of the CRF for an image (paper Eq. 5 and 7).

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        maps (ActivationMaps | None): Of the image; not needed without boxes.
        layout (BoxLayout): Its boxes.
        recipe (LabelRecipe): The recipe.
    """
    if maps is None or len(layout.classes) == 1:
        return LabelTask(image, layout, np.ones((1, *layout.size), dtype=np.float32), restore=(), crf=recipe.crf)
    background = background_unary(maps, layout, recipe)
    scores, unseen = box_scores(maps, layout, recipe)
    if recipe.crf_labels == 'instance':
        layout = layout.by_instance()
    scores = class_scores(scores, layout.boxes, layout.rows, len(layout.classes) - 1, layout.size, recipe.overlap)
    device = maps.attention.device
    probability = unary_probability(
        background, scores, layout.regions(device), layout.unknown(device), recipe.temperature, recipe.competition
    )
    restore = dict(none=[False] * len(unseen), all=[True] * len(unseen), unseen=unseen.tolist())[recipe.restore]
    return LabelTask(image, layout, probability.cpu().numpy(), tuple(restore), recipe.crf)
