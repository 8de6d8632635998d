"""What a classifier sees in an image: its features in several views, background attention and activation maps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bana_mm.functional import Upsampling, image_attention

from .box_layout import BoxLayout
from .label_recipe import LabelRecipe

# Features of one view of an image by the names of the network's layers, (D, h, w) float each, where D, h and w are the
# layer's own: 'last' for the features f that the classifier sees, and further ones for the attention.
View = dict[str, Tensor]
# Those of one image: scales in the recipe's order, each followed by its mirror image. Those of mirror images are turned
# back, so that all views show the image the same way round.
Features = list[View]


@dataclass
class ActivationMaps:
    """What the classifier says about an image, at image size.

    Args:
        attention (Tensor): Background attention A, (H, W) in [0, 1]; not set to 1 outside the boxes.
        activation (Tensor): CAM of the background and of the image's classes, (C + 1, H, W), >= 0.
    """

    attention: Tensor
    activation: Tensor

    @classmethod
    def mean(cls, views: 'list[ActivationMaps]') -> 'ActivationMaps':
        """The average of several views."""
        if len(views) == 1:
            return views[0]
        pairs = zip(*((view.attention, view.activation) for view in views))
        return cls(*(torch.stack(maps).mean(dim=0) for maps in pairs))


@torch.no_grad()
def activation_maps(features: Features, layout: BoxLayout, weight: Tensor, recipe: LabelRecipe) -> ActivationMaps:
    """Attention and class activation maps at image size, averaged over the views (paper Eq. 1-3 and 6).

    Args:
        features (Features): Of the image, one or several views with the recipe's layers.
        layout (BoxLayout): Its boxes.
        weight (Tensor): Classifier weights w, (L + 1, D), row 0 for the background.
        recipe (LabelRecipe): Its ``attention_layers``, ``grid_size`` and ``align_corners`` count.

    Returns:
        ActivationMaps: In float32.

    Raises:
        ValueError: If the features don't fit the weights or are not finite, or a box has a class without a weight.
    """
    check_features(features, layout, weight)
    return ActivationMaps.mean([_view_maps(view, layout, weight, recipe) for view in features])


def class_responses(feats: Tensor, layout: BoxLayout, weight: Tensor) -> Tensor:
    """Inner products of classifier weights and features: a CAM before ReLU and upsampling.

    Args:
        feats (Tensor): Features f, (D, h, w) float.
        layout (BoxLayout): Boxes of the image.
        weight (Tensor): Classifier weights w, (L + 1, D).

    Returns:
        Tensor: (C + 1, h, w) float, rows as in ``layout.classes``.
    """
    return torch.einsum('cd,dhw->chw', weight[list(layout.classes)].to(feats), feats)


def upsampling_of(feats: Tensor, layout: BoxLayout, recipe: LabelRecipe) -> Upsampling:
    """How features of an image are upsampled to its size."""
    return Upsampling((feats.size(1), feats.size(2)), layout.size, recipe.align_corners, feats.dtype, feats.device)


def check_features(features: Features, layout: BoxLayout, weight: Tensor) -> None:
    """Refuse features that don't fit the classifier.

    Raises:
        ValueError: If the last layer of a view has another shape than (D, h, w), a layer is not finite, or a box has a
            class without a weight.
    """
    for view in features:
        last = view['last']
        if last.dim() != 3 or last.size(0) != weight.size(1):
            raise ValueError(
                f'feats must have shape ({weight.size(1)}, h, w) to fit the classifier, got {tuple(last.shape)}'
            )
        for name, feats in view.items():
            if not feats.sum(dtype=torch.float32).isfinite():
                raise ValueError(f'feats hold NaN or infinity (layer {name}); the checkpoint or the image is broken')
    if max(layout.classes) >= len(weight):
        raise ValueError(f'classes of boxes must lie in 1..{len(weight) - 1}, got {max(layout.classes)}')


def layer_attention(feats: Tensor, layout: BoxLayout, recipe: LabelRecipe) -> Tensor:
    """Background attention A of one layer at image size (paper Eq. 1-3), see :func:`image_attention`.

    Args:
        feats (Tensor): Features of any layer, (D, h, w).
        layout (BoxLayout): Boxes of the image.
        recipe (LabelRecipe): Its ``grid_size`` and ``align_corners`` count.

    Returns:
        Tensor: (H, W) float32 in [0, 1].
    """
    feats = feats.float()
    upsampling = upsampling_of(feats, layout, recipe)
    return image_attention(feats, layout.background(feats.device), upsampling, recipe.grid_size)


def _view_maps(view: View, layout: BoxLayout, weight: Tensor, recipe: LabelRecipe) -> ActivationMaps:
    attention = [layer_attention(view[name], layout, recipe) for name in recipe.attention_layers]
    last = view['last'].float()
    # The reference code, too, upsamples before it drops what is below zero.
    activation = upsampling_of(last, layout, recipe)(class_responses(last, layout, weight)).relu()
    return ActivationMaps(torch.stack(attention).mean(dim=0) if len(attention) > 1 else attention[0], activation)
