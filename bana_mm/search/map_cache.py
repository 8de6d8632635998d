"""Attention and activation maps on disk, for trying many label recipes on what the network has said once."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps, Features, class_responses, layer_attention, upsampling_of
from bana_mm.utils.atomic import whole_file


class MapCache:
    """One file an image with the maps of every view, as float16.

    Attention is kept at image size, that of each layer by itself, class responses at the size of the features.

    Args:
        root (str | Path): Folder of the files.
        recipe (LabelRecipe): Its ``attention_layers``, ``scales``, ``flip``, ``grid_size`` and ``align_corners`` decide
            what is stored.
    """

    def __init__(self, root: str | Path, recipe: LabelRecipe) -> None:
        self.root = Path(root)
        self.recipe = recipe

    def path(self, img_id: str) -> Path:
        """File of an image."""
        return self.root / f'{img_id}.npz'

    def is_complete(self, img_id: str) -> bool:
        """Whether every view and layer of the cache's recipe is stored for an image."""
        if not self.path(img_id).exists():
            return False
        with np.load(self.path(img_id)) as file:
            return set(_attention_names(self.recipe)) <= set(file.files)

    def write(self, img_id: str, features: Features, layout: BoxLayout, weight: Tensor) -> None:
        """Store the maps of an image, beside those of other views that are there.

        Args:
            img_id (str): Image.
            features (Features): Of all views of the cache's recipe.
            layout (BoxLayout): Boxes of the image.
            weight (Tensor): Classifier weights w, (L + 1, D), row 0 for the background.
        """
        arrays = {}
        if self.path(img_id).exists():
            with np.load(self.path(img_id)) as file:
                arrays.update(file)
        for name, view in zip(view_names(self.recipe), features, strict=True):
            for layer in self.recipe.attention_layers:
                attention = layer_attention(view[layer], layout, self.recipe)
                arrays[_attention_name(name, layer)] = attention.half().cpu().numpy()
            arrays[f'responses {name}'] = class_responses(view['last'].float(), layout, weight).half().cpu().numpy()
        self.path(img_id).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path(img_id)) as path, open(path, 'wb') as file:
            np.savez(file, **arrays)

    def read(self, img_id: str, layout: BoxLayout, recipe: LabelRecipe) -> ActivationMaps:
        """The maps of an image, averaged over the views of a recipe, attention over its layers too.

        Args:
            img_id (str): Image.
            layout (BoxLayout): Boxes of the image.
            recipe (LabelRecipe): Its views and layers must be among the stored ones.

        Raises:
            KeyError: If a view or layer was not stored.
        """
        activation = []
        with np.load(self.path(img_id)) as file:
            attention = [torch.from_numpy(file[name]).float() for name in _attention_names(recipe)]
            for name in view_names(recipe):
                responses = torch.from_numpy(file[f'responses {name}']).float()
                activation.append(upsampling_of(responses, layout, self.recipe)(responses).relu())
        return ActivationMaps(torch.stack(attention).mean(dim=0), torch.stack(activation).mean(dim=0))


def view_names(recipe: LabelRecipe) -> list[str]:
    """A name for each view of a recipe, in the order of :func:`extract_views`."""
    mirrors = ('', ' flipped') if recipe.flip else ('',)
    return [f'{scale:g}{mirror}' for scale in recipe.scales for mirror in mirrors]


def _attention_names(recipe: LabelRecipe) -> list[str]:
    return [_attention_name(view, layer) for view in view_names(recipe) for layer in recipe.attention_layers]


def _attention_name(view: str, layer: str) -> str:
    return f'attention {view}' if layer == 'last' else f'attention {view} {layer}'
