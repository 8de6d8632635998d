"""The features of images for label generation, at several scales and flipped where the recipe wants that."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from .recipe import LabelRecipe

# Features of one image, (D, h, w) float each, one a view: scales in the recipe's order, each followed by its mirror
# image. Those of mirror images are turned back, so that all views show the image the same way round.
Features = list[Tensor]


@torch.inference_mode()
def extract_features(
    model: BaseModel, items: Sequence[dict[str, Any]], recipe: LabelRecipe | None = None
) -> list[Features]:
    """Features of images of one size.

    Args:
        model (BaseModel): A ``BoxClassifier`` in evaluation mode, on its device.
        items (Sequence[dict]): Dataset items with ``inputs`` (3, H, W) and ``data_samples``, all of one size.
        recipe (LabelRecipe | None): Says which scales, whether flipped too, and in which precision. Defaults to None:
            the image's own size only, in the model's precision.

    Returns:
        list[Features]: For each image its features, one (D, h, w) tensor a view.

    Raises:
        ValueError: If the model's preprocessor pads: labels are made at the image's own size.
    """
    size = tuple(items[0]['inputs'].shape[1:])
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    inputs = model.data_preprocessor(batch)['inputs']
    if tuple(inputs.shape[2:]) != size:
        raise ValueError(
            f'labels are made at the own size of an image, {size}, but model.data_preprocessor pads it to '
            f'{tuple(inputs.shape[2:])}; set its pad_size_divisor to 1'
        )
    features = extract_views(model.extract_feat, inputs, recipe)
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)  # else its time would count as that of what comes next
    return features


def extract_views(
    extract_feat: Callable[[Tensor], Tensor], inputs: Tensor, recipe: LabelRecipe | None = None
) -> list[Features]:
    """Features of normalised images of one size, see :func:`extract_features`.

    Args:
        extract_feat (Callable): The network, (N, 3, H, W) -> (N, D, h, w).
        inputs (Tensor): (N, 3, H, W) float.
        recipe (LabelRecipe | None): See :func:`extract_features`. Defaults to None.

    Returns:
        list[Features]: For each image its features, one (D, h, w) tensor a view.
    """
    recipe = LabelRecipe() if recipe is None else recipe
    views = []
    for scale in recipe.scales:
        scaled = inputs
        if scale != 1:
            size = [max(1, round(scale * length)) for length in inputs.shape[2:]]
            scaled = F.interpolate(inputs, size, mode='bilinear', align_corners=recipe.align_corners)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.amp):
            views.append(extract_feat(scaled))
            if recipe.flip:
                views.append(extract_feat(scaled.flip(-1)).flip(-1))
    return [[view[n] for view in views] for n in range(len(inputs))]
