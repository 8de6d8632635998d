"""The recipe of activation maps: views in order, backgrounds, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import merge_views
from bana_mm.structures import ActivationRecipe


def test_views_are_paired_with_their_mirror_images():
    views = [torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.randn(2, 5, 6), torch.randn(2, 5, 6)]
    up = [F.interpolate(view[None], (9, 12), mode='bilinear')[0] for view in views]
    recipe = ActivationRecipe(scales=(1.0, 1.5))
    torch.testing.assert_close(recipe.merge(views, (9, 12)), merge_views([up[:2], up[2:]]))
    recipe = ActivationRecipe(scales=(1.0, 0.5, 1.5, 2.0), flip=False, fuse='mean', clip='sum', normalise='range')
    single = merge_views([[one] for one in up], 'mean', 'sum', 'range')
    torch.testing.assert_close(recipe.merge(views, (9, 12)), single)
    assert recipe.merge([torch.zeros(0, 3, 4)] * 4, (9, 12)).shape == (0, 9, 12)


def test_backgrounds():
    maps = torch.tensor([0.5, 1.0]).view(1, 1, 2)
    recipe = ActivationRecipe(level=0.2, crf_level=0.3)
    assert recipe.background(maps)[0].tolist() == pytest.approx([0.2, 0.2])
    assert recipe.crf_background(maps)[0].tolist() == pytest.approx([0.3, 0.3])
    assert ActivationRecipe(power=2.0).crf_background(maps).tolist() == [[0.25, 0]]


def test_defaults_are_those_of_visual_words_and_survive_json():
    recipe = ActivationRecipe()
    assert recipe.scales == (1.0, 0.5, 1.5, 2.0) and (recipe.level, recipe.crf_level) == (0.14, 0.15)
    assert recipe.crf == dict(bilateral=(4, 64, 3), gaussian=(3, 1), iterations=10, backend='auto')
    changed = ActivationRecipe.from_cfg(dict(crf=dict(iterations=2), scales=[1, 2]))
    assert ActivationRecipe.from_cfg(changed.to_dict()) == changed and changed.crf['iterations'] == 2
    assert ActivationRecipe.from_cfg(changed) is changed and ActivationRecipe.from_cfg(None) == recipe


@pytest.mark.parametrize(
    'field, match',
    [
        (dict(scales=()), 'scales'),
        (dict(fuse='min'), 'flip must be'),
        (dict(level=2.0), 'level'),
        (dict(crf_level=-1.0), 'crf_level'),
        (dict(power=0.0), 'power'),
        (dict(temperature=0), 'temperature'),
        (dict(size=3), "unknown field 'size'"),
        (dict(crf=dict(width=3)), "unknown field 'width' in activations.crf"),
    ],
)
def test_bad_recipes(field, match):
    with pytest.raises(ValueError, match=match):
        ActivationRecipe.from_cfg(field)
