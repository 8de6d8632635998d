import json
from dataclasses import replace

import pytest
from mmengine.config import ConfigDict

from bana_mm.structures import InstanceRecipe, LabelRecipe


def test_defaults_are_the_reference_code():
    recipe = LabelRecipe.from_cfg(None)
    assert recipe == LabelRecipe()
    assert (recipe.background, recipe.threshold, recipe.threshold_mode) == ('attention', 0.99, 'relative')
    assert (recipe.normalise, recipe.temperature, recipe.grid_size) == ('box', 1.0, 1)
    assert (recipe.crf['bilateral'], recipe.crf['gaussian'], recipe.crf['iterations']) == ((4, 55, 3), (3, 3), 10)


def test_from_config():
    recipe = LabelRecipe.from_cfg(ConfigDict(background='cam', crf=dict(iterations=5, gaussian=[1, 2])))
    assert recipe.background == 'cam' and recipe.threshold == 0.99
    assert recipe.crf == dict(bilateral=(4, 55, 3), gaussian=(1, 2), iterations=5, backend='auto')
    assert type(recipe.crf) is dict
    assert LabelRecipe.from_cfg(recipe) is recipe


def test_recipes_by_name():
    letter = dict(empty='zero', overlap='later', restore='none')  # what the published code leaves undone
    assert LabelRecipe.from_cfg(dict(recipe='paper')) == LabelRecipe(**letter)
    ours = LabelRecipe.from_cfg(dict(recipe='bana_mm'))
    assert ours != LabelRecipe()
    other = LabelRecipe.from_cfg(ConfigDict(recipe='bana_mm', score='attention', crf=dict(iterations=3)))
    assert other == replace(ours, score='attention', crf=dict(ours.crf, iterations=3))
    assert LabelRecipe.from_cfg(ours.to_dict()) == ours


def test_layers():
    assert LabelRecipe().layers == ('last',) and LabelRecipe(attention_layers=['conv5_3']).layers == ('last', 'conv5_3')
    recipe = LabelRecipe.from_cfg(dict(attention_layers='conv5_3'))
    assert recipe.attention_layers == ('conv5_3',) and recipe.to_dict()['attention_layers'] == ['conv5_3']
    assert LabelRecipe.from_cfg(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert LabelRecipe(attention_layers=('conv5_3', 'last')).layers == ('last', 'conv5_3')
    assert 'attention_layers' not in LabelRecipe().to_dict()  # as in labels made before there was such a field


def test_single_view():
    assert LabelRecipe().single_view and LabelRecipe(scales=[1]).single_view
    assert not LabelRecipe(flip=True).single_view and not LabelRecipe(scales=(0.5,)).single_view


def test_survives_json():
    recipe = LabelRecipe(temperature=None, crf=dict(gaussian=None))
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert stored == recipe.to_dict()
    assert LabelRecipe.from_cfg(stored) == recipe


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(recipe='ours'), "label_recipe.recipe must be one of .*'bana_mm'.*'ours'"),
        (dict(score='max'), 'label_recipe.score'),
        (dict(background_range='class'), 'label_recipe.background_range'),
        (dict(min_recognised=1.5), 'label_recipe.min_recognised .*1.5'),
        (dict(competition='box'), 'label_recipe.competition'),
        (dict(crf_labels='box'), 'label_recipe.crf_labels'),
        (dict(scales=()), 'label_recipe.scales'),
        (dict(scales=(1, 0)), 'label_recipe.scales'),
        (dict(threshold=None, threshold_mode='box'), 'label_recipe.threshold must be a number'),
        (dict(treshold=0.9), "unknown field 'treshold' in label_recipe; it may have .*threshold"),
        (dict(crf=dict(iter=3)), "unknown field 'iter' in label_recipe.crf; .*iterations"),
        (dict(background='gap'), "label_recipe.background must be one of .*'gap'"),
        (dict(normalise='class'), 'label_recipe.normalise'),
        (dict(threshold_mode='max'), 'label_recipe.threshold_mode'),
        (dict(restore='some'), 'label_recipe.restore'),
        (dict(threshold=1.5), 'label_recipe.threshold .*1.5'),
        (dict(temperature=0), 'label_recipe.temperature'),
        (dict(grid_size=0), 'label_recipe.grid_size'),
        (dict(attention_layers=()), 'label_recipe.attention_layers must be one or several'),
        (dict(attention_layers=('last', 'last')), 'label_recipe.attention_layers .*different'),
        (dict(attention_layers=(5,)), 'label_recipe.attention_layers'),
    ],
)
def test_bad_recipe_names_the_field(cfg, message):
    with pytest.raises(ValueError, match=message):
        LabelRecipe.from_cfg(cfg)


def test_instance_recipe_names_what_is_wrong():
    recipe = InstanceRecipe.from_cfg(dict(margin=0.5, unary=dict(crf=dict(iterations=3))))
    assert recipe.unary.crf['iterations'] == 3 and recipe.unary.score == 'cam'
    assert recipe.to_dict() == dict(
        unary=recipe.unary.to_dict(), margin=0.5, min_margin=8, side=128, max_scale=8.0, centre=0.7, front=True
    )
    for field, value in dict(margin=-1, centre=-1, min_margin=0.5, side=0, max_scale=0).items():
        with pytest.raises(ValueError, match=f'instance_recipe.{field} must be'):
            InstanceRecipe(**{field: value})
    with pytest.raises(ValueError, match="unknown field 'size' in instance_recipe; it may have centre, front, "):
        InstanceRecipe.from_cfg(dict(size=3))
