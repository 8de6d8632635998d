"""The VGG-16 backbone: geometry, output and frozen blocks."""

import pytest
import torch
import torch.nn.functional as F

from bana_mm.models.backbones import VGG16LargeFOV


def tiny(**kwargs):
    return VGG16LargeFOV(width_mult=1 / 16, out_channels=8, **kwargs)


def test_stride_8_and_large_field_of_view():
    model = tiny().eval()
    for size in (64, 65, 71):
        assert model(torch.zeros(1, 3, size, size))[0].shape == (1, 8, -(-size // 8), -(-size // 8))
    dilations = [layer.dilation[0] for layer in model.features if isinstance(layer, torch.nn.Conv2d)]
    assert dilations == [1] * 10 + [2] * 3
    assert tiny(fc6_dilation=12).fc6.dilation == (12, 12)


def test_feature_cell_is_centred_on_its_pixel():
    # The response to a single bright pixel 8 i is symmetric about cell i.
    model = VGG16LargeFOV(width_mult=1 / 64, out_channels=1).eval().double()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.constant_(layer.weight, 0.1)
            torch.nn.init.zeros_(layer.bias)
    image = torch.zeros(1, 3, 257, 257).double()
    image[..., 128, 128] = 1
    feats = model(image)[0][0, 0].detach()
    assert feats.shape == (33, 33)
    torch.testing.assert_close(feats, feats.flip(0).flip(1))
    cell = torch.arange(33.0).double()
    assert (feats.sum(0) @ cell / feats.sum()).item() == pytest.approx(16)
    assert feats[16, 16] > 0


def plain_network(model, image, dropout=lambda feats: feats):
    """AffinityNet's VGG-16, layer by layer, with the model's weights."""
    weights = iter([layer for layer in model.features if isinstance(layer, torch.nn.Conv2d)])
    for block, (convolutions, stride) in enumerate(zip((2, 2, 3, 3, 3), (2, 2, 2, 1, 1)), start=1):
        for _ in range(convolutions):
            layer, dilation = next(weights), 2 if block == 5 else 1
            image = F.relu(F.conv2d(image, layer.weight, layer.bias, padding=dilation, dilation=dilation))
        image = F.max_pool2d(image, 3, stride, padding=1)
    image = F.avg_pool2d(image, 3, 1, padding=1)
    image = dropout(F.relu(F.conv2d(image, model.fc6.weight, model.fc6.bias, padding=12, dilation=12)))
    return dropout(F.relu(F.conv2d(image, model.fc7.weight, model.fc7.bias)))


def test_against_a_plain_network():
    model = tiny(fc6_dilation=12).double()
    model.init_weights()
    image = torch.rand(2, 3, 41, 57, dtype=torch.double)
    model.eval()
    torch.testing.assert_close(model(image)[0], plain_network(model, image))
    model.train()  # whole channels are dropped, behind fc6 and behind fc7
    outputs = []
    for function in (
        lambda: model(image)[0],
        lambda: plain_network(model, image, lambda feats: F.dropout2d(feats, 0.5, training=True)),
        lambda: plain_network(model, image, lambda feats: F.dropout(feats, 0.5, training=True)),
    ):
        torch.manual_seed(1)
        outputs.append(function())
    torch.testing.assert_close(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])


def test_layers_on_the_way():
    """Each is what the next convolution gets; the ReLUs, which work in place, leave them as they are."""
    model, image = tiny(fc6_dilation=12).eval(), torch.rand(2, 3, 41, 57)
    names = model.layer_names
    assert (names[0], names[4], names[-3:]) == ('conv1_1', 'conv3_1', ('conv5_3', 'fc6', 'fc7')) and len(names) == 15
    found = model.forward_layers(image, ('conv4_3', 'fc6', 'conv5_3', 'fc7', 'pool5'))
    assert found.keys() == {'conv4_3', 'conv5_3', 'fc6', 'fc7', 'last'}
    assert torch.equal(found['last'], model(image)[0]) and torch.equal(found['fc7'], found['last'])
    assert [tuple(found[name].shape[1:]) for name in ('conv4_3', 'conv5_3', 'fc6')] == [
        (32, 6, 8),
        (32, 6, 8),
        (8, 6, 8),
    ]
    assert all((feats >= 0).all() for feats in found.values())
    torch.testing.assert_close(F.relu(model.fc7(found['fc6'])), found['last'])
    pooled = F.avg_pool2d(F.max_pool2d(found['conv5_3'], 3, 1, padding=1), 3, 1, padding=1)
    torch.testing.assert_close(F.relu(model.fc6(pooled)), found['fc6'])
    feats = F.max_pool2d(found['conv4_3'], 3, 1, padding=1)
    for layer in [layer for layer in model.features if isinstance(layer, torch.nn.Conv2d)][-3:]:
        feats = F.relu(layer(feats))
    torch.testing.assert_close(feats, found['conv5_3'])
    model = tiny(out_layer='conv5_3').eval()
    assert model.layer_names[-1] == 'conv5_3' and len(model.layer_names) == 13
    found = model.forward_layers(image, ('conv5_3',))
    assert torch.equal(found['conv5_3'], found['last']) and torch.equal(found['last'], model(image)[0])


def test_full_size_parameters_are_those_of_vgg16():
    state = VGG16LargeFOV().state_dict()
    assert state['features.28.weight'].shape == (512, 512, 3, 3)
    assert state['fc6.weight'].shape == (1024, 512, 3, 3) and state['fc7.weight'].shape == (1024, 1024, 1, 1)
    assert sum(v.numel() for k, v in state.items() if k.startswith('features')) == 14_714_688  # VGG-16's convolutions


def test_frozen_blocks_keep_no_gradient():
    model = tiny(frozen_stages=2).train()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {f'features.{i}.{kind}' for i in (0, 2, 5, 7) for kind in ('weight', 'bias')}
    with pytest.raises(ValueError, match='frozen_stages'):
        tiny(frozen_stages=6)


def test_output_of_the_last_convolution():
    model = tiny(out_layer='conv5_3').eval()
    assert {name.split('.')[0] for name, _ in model.named_parameters()} == {'features'}
    torch.manual_seed(0)
    whole = tiny().eval()
    whole.init_weights()
    model.load_state_dict(whole.features.state_dict(prefix='features.'))
    image, seen = torch.rand(1, 3, 65, 71) - 0.5, []
    whole.features[29].register_forward_hook(lambda *args: seen.append(args[2]))  # the ReLU of conv5_3
    whole(image)
    feats = model(image)[0]
    assert feats.shape == (1, 32, 9, 9)
    torch.testing.assert_close(feats, seen[0])
    assert feats.min() == 0 < feats.max()
    assert all(not p.requires_grad for p in tiny(out_layer='conv5_3', frozen_stages=5).train().parameters())
    with pytest.raises(ValueError, match="'fc7' or 'conv5_3'"):
        tiny(out_layer='pool5')


def test_channels_last_computes_the_same():
    model = tiny().eval()
    image = torch.rand(2, 3, 40, 48)
    expected = model(image)[0]
    model.memory_format = torch.channels_last
    torch.testing.assert_close(model(image)[0], expected)
