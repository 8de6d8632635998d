"""Maps on disk are those of the network, whichever views and layers were stored first."""

import pytest
import torch

from bana_mm.search.map_cache import MapCache
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import activation_maps

LAYOUT = BoxLayout.from_boxes((40, 56), [[8, 6, 44, 34]], [1])
RECIPE = LabelRecipe(scales=(1, 0.5), flip=True, attention_layers=('last', 'middle'))


@pytest.fixture
def weight():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def features():
    """Two scales and their mirror images, of two layers."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((5, 7), (5, 7), (3, 4), (3, 4))
    return [
        dict(
            last=torch.rand(4, h, w, generator=generator),
            middle=torch.rand(6, h + 2, w + 1, generator=generator),
        )
        for h, w in sizes
    ]


def test_as_computed_at_once(tmp_path, features, weight):
    cache = MapCache(tmp_path / 'maps', RECIPE)
    cache.write('a', features, LAYOUT, weight)
    for recipe, views in (
        (RECIPE, features),
        (LabelRecipe(), features[:1]),
        (LabelRecipe(scales=(0.5,), attention_layers=('middle',)), features[2:3]),
        (LabelRecipe(flip=True, attention_layers=('middle', 'last')), features[:2]),
    ):
        expected, maps = activation_maps(views, LAYOUT, weight, recipe), cache.read('a', LAYOUT, recipe)
        torch.testing.assert_close(maps.attention, expected.attention, atol=1e-3, rtol=0)
        torch.testing.assert_close(maps.activation, expected.activation, atol=5e-3, rtol=0)
    for recipe, missing in (LabelRecipe(scales=(0.75,)), '0.75'), (LabelRecipe(attention_layers=('first',)), '1 first'):
        with pytest.raises(KeyError, match=missing):
            cache.read('a', LAYOUT, recipe)


def test_maps_come_from_any_device(tmp_path, features, weight, monkeypatch):
    """NumPy is given what was brought to the CPU, and nothing else."""
    brought, to_numpy, to_cpu = [], torch.Tensor.numpy, torch.Tensor.cpu

    def cpu(self):
        brought.append(to_cpu(self))
        return brought[-1]

    def numpy(self):
        assert any(self is one for one in brought)
        return to_numpy(self)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, 'cpu', cpu), patch.setattr(torch.Tensor, 'numpy', numpy)
        MapCache(tmp_path / 'maps', RECIPE).write('a folder/a', features, LAYOUT, weight)
    assert len(brought) == 12 and (tmp_path / 'maps/a folder/a.npz').is_file()


def test_views_and_layers_are_added_to_those_stored(tmp_path, features, weight):
    small, layers, whole = (
        MapCache(tmp_path / 'maps', recipe)
        for recipe in (LabelRecipe(), LabelRecipe(attention_layers=('middle',)), RECIPE)
    )
    assert not small.is_complete('a')
    small.write('a', features[:1], LAYOUT, weight)
    assert small.is_complete('a') and not layers.is_complete('a')
    layers.write('a', features[:1], LAYOUT, weight)
    assert small.is_complete('a') and layers.is_complete('a') and not whole.is_complete('a')
    whole.write('a', features, LAYOUT, weight)
    assert small.is_complete('a') and layers.is_complete('a') and whole.is_complete('a')
    MapCache(tmp_path / 'maps', LabelRecipe(scales=(0.75,))).write('a', features[:1], LAYOUT, weight)
    assert whole.is_complete('a')
