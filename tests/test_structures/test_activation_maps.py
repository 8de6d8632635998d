import pytest
import torch
from torch import nn

from bana_mm.models.classifiers.views import extract_views
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps, activation_maps, check_features


def network(inputs, names=('last',)):
    """Features that are the mean of 2 x 2 pixels, and the column of the cell, which no mirroring changes."""
    mean = nn.functional.avg_pool2d(inputs.mean(dim=1, keepdim=True), 2)
    column = torch.arange(mean.shape[3]).expand_as(mean)
    layers = dict(last=torch.cat([mean, column.float()], dim=1), pixels=inputs[:, :1])
    return {name: layers[name] for name in names}


def test_one_view_of_each_image_of_a_batch():
    images = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6).float()
    first, second = extract_views(network, images)
    assert len(first) == len(second) == 1
    for features, image in ((first, images[:1]), (second, images[1:])):
        assert torch.equal(features[0]['last'], network(image)['last'][0])
        assert torch.equal(features[0]['last'], extract_views(network, image)[0][0]['last'])


def test_scales_and_flips_show_the_image_the_same_way_round():
    image = torch.zeros(1, 3, 4, 8)
    image[..., :2] = 100
    recipe = LabelRecipe(scales=(1, 0.5), flip=True, attention_layers=('pixels',))
    (features,) = extract_views(network, image, recipe)
    assert all(view.keys() == {'last', 'pixels'} for view in features)
    assert torch.equal(features[0]['pixels'], image[0, :1]) and torch.equal(features[1]['pixels'], image[0, :1])
    assert [tuple(view['pixels'].shape) for view in features[2:]] == [(1, 2, 4)] * 2
    views = [view['last'] for view in features]
    assert [tuple(view.shape) for view in views] == [(2, 2, 4), (2, 2, 4), (2, 1, 2), (2, 1, 2)]
    assert views[0][0].tolist() == views[1][0].tolist() == [[100, 0, 0, 0]] * 2
    assert views[0][1, 0].tolist() == [0, 1, 2, 3] and views[1][1, 0].tolist() == [3, 2, 1, 0]
    # 4 of 8 columns with their corners aligned: columns 0, 7/3, 14/3, 7
    torch.testing.assert_close(views[2][0], torch.tensor([[50.0, 0.0]]))


def test_mixed_precision_is_the_networks_alone():
    def convolution(inputs, names):
        return dict(last=nn.functional.conv2d(inputs, torch.full((1, 3, 2, 2), 1 / 12), stride=2))

    image = torch.randint(0, 255, (1, 3, 4, 6), generator=torch.Generator().manual_seed(0)).float()
    (half,), (full,) = (extract_views(convolution, image, LabelRecipe(amp=amp))[0] for amp in (True, False))
    half, full = half['last'], full['last']
    assert half.dtype == torch.bfloat16 and full.dtype == torch.float32
    torch.testing.assert_close(half.float(), full, rtol=2**-6, atol=0)
    assert not torch.is_autocast_enabled('cpu')


def test_maps_by_hand():
    """Two cells, one a pixel: background feature (1, 0), object (3, 4); classes 2 and 5 have boxes."""
    layout = BoxLayout.from_boxes((1, 2), [[1, 0, 2, 1], [1, 0, 2, 1]], [5, 2])
    features = torch.tensor([[[1.0, 3.0]], [[0.0, 4.0]]])
    weight = torch.zeros(6, 2)
    weight[0], weight[2], weight[5] = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 1.0]), torch.tensor([-1.0, 0.5])
    maps = activation_maps([dict(last=features)], layout, weight, LabelRecipe())
    torch.testing.assert_close(maps.attention, torch.tensor([[1.0, 0.6]]))  # cosine of (3, 4) and (1, 0)
    expected = torch.tensor([[[2.0, 2.0]], [[1.0, 7.0]], [[0.0, 0.0]]])  # rows 0, 2, 5; ReLU of -1 and -3 + 2
    torch.testing.assert_close(maps.activation, expected)


def test_attention_of_several_layers_and_views():
    """A is the mean over both; activation maps are those of the last layer. Cosines are taken at each pixel."""
    size, boxes = (7, 10), [[2, 1, 8, 6]]
    layout, generator = BoxLayout.from_boxes(size, boxes, [1]), torch.Generator().manual_seed(0)
    shapes = dict(last=(3, 3, 4), middle=(5, 4, 5), first=(2, 7, 10))
    views = [
        {name: torch.randn(shape, generator=generator, dtype=torch.double) for name, shape in shapes.items()}
        for _ in range(2)
    ]
    weight = torch.randn(2, 3, generator=generator)

    def attention(feats):
        """Pixel by pixel on features of image size."""
        large = nn.functional.interpolate(feats[None], size, mode='bilinear', align_corners=True)[0]
        outside = [(y, x) for y in range(7) for x in range(10) if not (2 <= x < 8 and 1 <= y < 6)]
        query = sum(large[:, y, x] for y, x in outside) / len(outside)
        cosine = [
            [float(large[:, y, x] @ query / large[:, y, x].norm() / query.norm()) for x in range(10)] for y in range(7)
        ]
        return torch.tensor(cosine).clamp(min=0)

    for layers in (('middle',), ('middle', 'last'), ('first', 'last', 'middle')):
        maps = activation_maps(views, layout, weight, LabelRecipe(attention_layers=layers))
        each = [attention(view[name]) for name in layers for view in views]
        torch.testing.assert_close(maps.attention, sum(each) / len(each), atol=1e-5, rtol=0)
        alone = activation_maps([dict(last=view['last']) for view in views], layout, weight, LabelRecipe())
        assert torch.equal(maps.activation, alone.activation)


def test_mean_of_views():
    one = ActivationMaps(torch.tensor([[0.0, 1.0]]), torch.tensor([[[2.0, 4.0]]]))
    other = ActivationMaps(torch.tensor([[0.5, 0.0]]), torch.tensor([[[4.0, 0.0]]]))
    mean = ActivationMaps.mean([one, other])
    assert mean.attention.tolist() == [[0.25, 0.5]] and mean.activation.tolist() == [[[3.0, 2.0]]]
    assert ActivationMaps.mean([one]) is one


def test_bad_features():
    layout, weight = BoxLayout.from_boxes((4, 4), [[0, 0, 2, 2]], [2]), torch.zeros(3, 5)
    check_features([dict(last=torch.zeros(5, 2, 2), other=torch.zeros(9, 3, 3))] * 2, layout, weight)
    for views, message in (
        ([torch.zeros(5, 2, 2), torch.zeros(4, 2, 2)], r'shape \(5, h, w\) .* got \(4, 2, 2\)'),
        ([torch.zeros(1, 5, 2, 2)], r'got \(1, 5, 2, 2\)'),
        ([torch.full((5, 2, 2), torch.inf)], 'NaN or infinity'),
    ):
        with pytest.raises(ValueError, match=message):
            check_features([dict(last=view) for view in views], layout, weight)
    with pytest.raises(ValueError, match=r'classes of boxes must lie in 1\.\.1, got 2'):
        check_features([dict(last=torch.zeros(5, 2, 2))], layout, weight[:2])
    with pytest.raises(ValueError, match=r'feats hold NaN or infinity \(layer other\)'):
        views = [dict(last=torch.zeros(5, 2, 2), other=torch.full((9, 3, 3), torch.nan))]
        check_features(views, layout, weight)
