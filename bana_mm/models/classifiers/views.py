"""Features of images in several views: scales, and mirrored."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.structures import ActivationRecipe, LabelRecipe
from bana_mm.structures.activation_maps import Features, View


def extract_views(
    extract_layers: Callable[[Tensor, Sequence[str]], View],
    inputs: Tensor,
    recipe: LabelRecipe | ActivationRecipe | None = None,
) -> list[Features]:
    """Features of normalised images of one size.

    Args:
        extract_layers (Callable): The network: from (N, 3, H, W) and names of layers to (N, D, h, w) by name, as
            :meth:`bana_mm.models.BoxClassifier.extract_layers`.
        inputs (Tensor): (N, 3, H, W) float.
        recipe (LabelRecipe | ActivationRecipe | None): Says which layers and scales, whether flipped too, and in which
            precision. Defaults to None: the last layer and the image's own size only, in the model's precision.

    Returns:
        list[Features]: For each image the features of its views.
    """
    recipe = LabelRecipe() if recipe is None else recipe
    views: list[View] = []
    for scale in recipe.scales:
        scaled = inputs
        if scale != 1:
            size = [max(1, round(scale * length)) for length in inputs.shape[2:]]
            scaled = F.interpolate(inputs, size, mode='bilinear', align_corners=recipe.align_corners)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.amp):
            views.append(extract_layers(scaled, recipe.layers))
            if recipe.flip:
                mirrored = extract_layers(scaled.flip(-1), recipe.layers)
                views.append({name: feats.flip(-1) for name, feats in mirrored.items()})
    return [[{name: feats[n] for name, feats in view.items()} for view in views] for n in range(len(inputs))]
