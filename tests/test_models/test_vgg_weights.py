"""Public VGG-16 weights: the names and shapes they come in, what is loaded, what is logged."""

import logging

import pytest
import torch
import torch.nn.functional as F

from bana_mm.models.backbones import VGG16LargeFOV, fit_vgg_weights

CONVS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # of torchvision's `features`
CAFFE = 'conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 conv5_1 conv5_2 conv5_3'
INPUTS, FULL, KEPT = 32, 32, 8  # of fc6 and fc7 in place of 512, 4096 and 1024


def tiny(**kwargs):
    return VGG16LargeFOV(width_mult=1 / 16, out_channels=KEPT, **kwargs)


def synthetic(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(scope='module')
def convolutions():
    """Weights and biases of the 13 convolutions, each filled with a number of its own."""
    state = tiny().features.state_dict()
    return {key: torch.full_like(value, number) for number, (key, value) in enumerate(state.items(), start=1)}


@pytest.fixture(scope='module')
def full():
    """VGG's own fc6 and fc7 as matrices, with fewer channels."""
    return dict(
        fc6=dict(weight=synthetic(FULL, INPUTS * 49), bias=synthetic(FULL)),
        fc7=dict(weight=synthetic(FULL, FULL), bias=synthetic(FULL)),
    )


@pytest.fixture(scope='module')
def reduced():
    """fc6 and fc7 as convolutions of the reduced network."""
    return dict(
        fc6=dict(weight=synthetic(KEPT, INPUTS, 3, 3), bias=synthetic(KEPT)),
        fc7=dict(weight=synthetic(KEPT, KEPT, 1, 1), bias=synthetic(KEPT)),
    )


def checkpoint(convolutions, layers, fc6, fc7, prefix='features.'):
    """The convolutions, and fc6 and fc7 under these names."""
    state = {prefix + key: value for key, value in convolutions.items()}
    for name, layer in zip((fc6, fc7), layers.values()):
        state.update({f'{name}.{kind}': value for kind, value in layer.items()})
    return state


def load(state, tmp_path, monkeypatch=None, **kwargs):
    """A network that starts from a checkpoint, and with `monkeypatch` what it logs."""
    torch.save(state, tmp_path / 'vgg.pth')
    model, messages = tiny(pretrained=str(tmp_path / 'vgg.pth'), **kwargs), []
    if monkeypatch:
        monkeypatch.setattr(
            'bana_mm.models.backbones.vgg.print_log',
            lambda message, level, **_: messages.append((level, message.replace(str(tmp_path), '.'))),
        )
    model.init_weights()
    return model, messages


@pytest.mark.parametrize('prefix', ['features.', 'module.backbone.features.', '', 'vgg.'])
def test_names_of_the_convolutions(convolutions, prefix):
    found, sources = fit_vgg_weights({prefix + key: value for key, value in convolutions.items()}, tiny().state_dict())
    assert set(sources) == {f'features.{index}' for index in CONVS}
    assert found.keys() == {f'features.{key}' for key in convolutions}
    assert all(found[f'features.{key}'] is value for key, value in convolutions.items())


def test_names_of_caffe(convolutions, reduced):
    names = dict(zip(CONVS, CAFFE.split()))
    state = {}
    for key, value in convolutions.items():
        index, kind = key.split('.')
        state[f'module.{names[int(index)]}.{kind}'] = value
    found, _ = fit_vgg_weights({'state_dict': {**state, 'fc8.weight': synthetic(4, 4)}}, tiny().state_dict())
    assert found.keys() == {f'features.{key}' for key in convolutions}
    assert torch.equal(found['features.24.bias'], convolutions['24.bias'])


@pytest.mark.parametrize(
    'names, prefix',
    [
        (('fc6', 'fc7'), 'features.'),
        (('backbone.fc6', 'backbone.fc7'), 'backbone.features.'),  # a checkpoint of ours
        (('features.31', 'features.33'), 'features.'),  # open-mmlab://vgg16_caffe
        (('31', '33'), ''),  # vgg16_reducedfc.pth
    ],
)
def test_reduced_layers_are_taken_as_they_are(convolutions, reduced, tmp_path, monkeypatch, names, prefix):
    model, messages = load(checkpoint(convolutions, reduced, *names, prefix=prefix), tmp_path, monkeypatch)
    for fc in ('fc6', 'fc7'):
        for kind in ('weight', 'bias'):
            assert torch.equal(model.state_dict()[f'{fc}.{kind}'], reduced[fc][kind])
    assert model.new_layers() == []
    fc6, fc7 = (name.removeprefix('backbone.') if 'fc' in name else f'features.{name[-2:]}' for name in names)
    assert messages == [
        (
            logging.INFO,
            f'VGG16LargeFOV: loaded from ./vgg.pth: 13 of 13 convolutions, fc6 from {fc6}, fc7 from {fc7}; '
            'new, at random: none',
        )
    ]


@pytest.mark.parametrize(
    'names',
    [('classifier.0', 'classifier.3'), ('classifier.1', 'classifier.4'), ('pre_logits.fc1', 'pre_logits.fc2')],
)
@pytest.mark.parametrize('as_convolution', [False, True])
def test_full_layers_keep_every_third_tap_and_every_fourth_channel(
    convolutions, full, tmp_path, monkeypatch, names, as_convolution
):
    layers = {fc: dict(layer) for fc, layer in full.items()}
    if as_convolution:
        layers['fc6']['weight'] = layers['fc6']['weight'].reshape(FULL, INPUTS, 7, 7)
        layers['fc7']['weight'] = layers['fc7']['weight'].reshape(FULL, FULL, 1, 1)
    last = {'classifier.6.weight': synthetic(5, FULL)}
    model, messages = load({**checkpoint(convolutions, layers, *names), **last}, tmp_path, monkeypatch)
    assert model.new_layers() == [] and messages[0][0] == logging.INFO
    shapes = [' x '.join(map(str, layers[fc]['weight'].shape)) for fc in layers]
    assert f'fc6 from {names[0]} ({shapes[0]}, reduced), fc7 from {names[1]} ({shapes[1]}, reduced)' in messages[0][1]
    # element by element, in the order of the matrix: channel, row, column
    matrix = full['fc6']['weight']
    for output, channel, y, x in ((0, 0, 0, 0), (3, 5, 1, 2), (7, 31, 2, 0)):
        value = matrix[4 * output, channel * 49 + 3 * y * 7 + 3 * x]
        assert model.fc6.weight[output, channel, y, x] == value
    assert model.fc7.weight[3, 5, 0, 0] == full['fc7']['weight'][12, 20]
    assert torch.equal(model.fc6.bias, full['fc6']['bias'][::4])
    assert torch.equal(model.fc7.bias, full['fc7']['bias'][::4])


def test_reduced_layers_equal_the_full_ones_on_what_they_see(convolutions, full, tmp_path):
    """On 7x7 cells that are zero outside the kept taps, and behind fc6 outside the kept channels."""
    model, _ = load(checkpoint(convolutions, full, 'fc6', 'fc7'), tmp_path, fc6_dilation=3)
    cells = torch.zeros(1, INPUTS, 7, 7)
    cells[..., ::3, ::3] = synthetic(1, INPUTS, 3, 3)
    hidden = F.relu(full['fc6']['weight'] @ cells.flatten() + full['fc6']['bias'])
    torch.testing.assert_close(F.relu(model.fc6(cells))[0, :, 3, 3], hidden[::4])
    kept = torch.zeros(FULL)
    kept[::4] = hidden[::4]
    expected = (full['fc7']['weight'] @ kept + full['fc7']['bias'])[::4]
    torch.testing.assert_close(model.fc7(F.relu(model.fc6(cells)))[0, :, 3, 3], expected)


def test_full_size_layers_fit():
    own = dict(
        zip(
            ('fc6.weight', 'fc6.bias', 'fc7.weight', 'fc7.bias'),
            (torch.empty(shape, device='meta') for shape in ((1024, 512, 3, 3), 1024, (1024, 1024, 1, 1), 1024)),
        )
    )
    state = {  # views of one number, so that 4096 x 25088 takes no memory
        'classifier.0.weight': torch.ones(1).expand(4096, 25088),
        'classifier.3.weight': torch.ones(1).expand(4096, 4096),
    }
    found, sources = fit_vgg_weights(state, own)
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        'fc6.weight': (1024, 512, 3, 3),
        'fc7.weight': (1024, 1024, 1, 1),
    }
    assert sources == dict(fc6='classifier.0 (4096 x 25088, reduced)', fc7='classifier.3 (4096 x 4096, reduced)')


def test_log_says_loudly_that_fc6_and_fc7_stay_new(convolutions, tmp_path, monkeypatch):
    torch.manual_seed(0)
    before = tiny(pretrained='nowhere').fc6.weight.clone()
    torch.manual_seed(0)
    model, messages = load(checkpoint(convolutions, {}, '', ''), tmp_path, monkeypatch)
    for key, value in convolutions.items():
        assert torch.equal(model.features.state_dict()[key], value)
    assert torch.equal(model.fc6.weight, before)  # keeps its own initialisation
    assert model.new_layers() == ['fc6', 'fc7']
    assert messages == [
        (
            logging.WARNING,
            'VGG16LargeFOV: loaded from ./vgg.pth: 13 of 13 convolutions; new, at random: fc6, fc7. The published '
            'models start with a pre-trained fc6 and fc7: give weights that hold them '
            "(docs/weights.md), or end with out_layer='conv5_3'",
        )
    ]


def test_network_without_fc_layers_has_nothing_new(convolutions, full, tmp_path, monkeypatch):
    model, messages = load(checkpoint(convolutions, full, 'fc6', 'fc7'), tmp_path, monkeypatch, out_layer='conv5_3')
    assert model.new_layers() == [] and messages[0][0] == logging.INFO
    assert messages[0][1].endswith('13 of 13 convolutions; new, at random: none')


def test_layers_that_do_not_fit_stay_new(convolutions, full, reduced):
    def loaded(**changes):
        layers = {fc: {**layer, **changes.get(fc, {})} for fc, layer in reduced.items()}
        own = tiny().state_dict()
        return set(fit_vgg_weights(checkpoint(convolutions, layers, 'fc6', 'fc7'), own).sources) & {'fc6', 'fc7'}

    assert loaded() == {'fc6', 'fc7'}
    assert loaded(fc7=dict(weight=synthetic(5, KEPT, 1, 1))) == {'fc6'}
    assert loaded(fc6=dict(weight=synthetic(KEPT, INPUTS, 5, 5))) == set()  # fc7 depends on the channels of fc6
    assert loaded(fc6=dict(weight=synthetic(KEPT, INPUTS + 1, 3, 3))) == set()
    assert loaded(fc6=dict(weight=synthetic(KEPT, 50))) == set()  # not 7 x 7 cells
    assert loaded(fc6=dict(weight=torch.full((KEPT, INPUTS, 3, 3), torch.nan))) == set()  # left blank on purpose
    assert loaded(fc7=dict(weight=synthetic(FULL, FULL, 1, 1))) == {'fc6'}  # not of this fc6
    both = {**checkpoint({}, reduced, 'fc6', 'fc7'), **checkpoint({}, full, 'classifier.0', 'classifier.3')}
    assert fit_vgg_weights(both, tiny().state_dict()).sources == dict(fc6='fc6', fc7='fc7')


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, tmp_path / 'resnet.pth')
    with pytest.raises(ValueError, match='resnet.pth holds no VGG-16 weight'):
        tiny(pretrained=str(tmp_path / 'resnet.pth')).new_layers()
