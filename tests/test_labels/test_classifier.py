import hashlib

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from torch import nn

from bana_mm.labels import LabelItem
from bana_mm.labels.classifier import (
    build_classifier,
    classifier_classes,
    classifier_maps,
    describe_run,
    extract_features,
    load_strictly,
)
from bana_mm.structures import LabelRecipe
from bana_mm.structures.activation_maps import activation_maps


def small_model(width=3):
    model = nn.Sequential()
    model.add_module('first', nn.Linear(2, width))
    model.add_module('last', nn.Linear(width, 1))
    return model


def test_load_what_mmengine_saves(tmp_path):
    trained, model = small_model(), small_model()
    history = HistoryBuffer([1.0], [1])
    torch.save(dict(state_dict=trained.state_dict(), message_hub=dict(loss=history)), tmp_path / 'a.pth')
    load_strictly(model, tmp_path / 'a.pth')
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), model.parameters()))
    torch.save(small_model().state_dict(), tmp_path / 'bare.pth')
    load_strictly(model, tmp_path / 'bare.pth')
    assert not torch.equal(trained.first.weight, model.first.weight)


def test_checkpoint_of_another_model(tmp_path):
    state = small_model().state_dict()
    state['extra.weight'] = state.pop('last.weight')
    state['extra.scale'] = state.pop('last.bias')
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(
        ValueError,
        match=r'a\.pth: checkpoint of another model than my\.py: it lacks last\.bias and 1 '
        r'more; it has unknown extra\.scale and 1 more',
    ):
        load_strictly(small_model(), tmp_path / 'a.pth', 'my.py')
    torch.save(small_model(4).state_dict(), tmp_path / 'b.pth')
    with pytest.raises(ValueError, match=r'b\.pth.*first\.bias has shape \(4,\) instead of \(3,\)'):
        load_strictly(small_model(3), tmp_path / 'b.pth')


def test_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.pth: checkpoint does not exist; train.*tools/train\.py my\.py'):
        load_strictly(small_model(), tmp_path / 'a.pth', 'my.py')
    (tmp_path / 'a.pth').write_text('no weights')
    with pytest.raises(ValueError, match=r'a\.pth: not a checkpoint that can be read'):
        load_strictly(small_model(), tmp_path / 'a.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth: checkpoint holds no weights by name'):
        load_strictly(small_model(), tmp_path / 'list.pth')


def test_other_models_are_no_classifiers(tmp_path):
    (tmp_path / 'seg.py').write_text("model = dict(type='mmdet.ChannelMapper', in_channels=[2], out_channels=2)")
    cfg = Config.fromfile(tmp_path / 'seg.py')
    with pytest.raises(ValueError, match=r'seg\.py: labels are made by a classifier.*model\.type mmdet\.ChannelMapper'):
        build_classifier(cfg, tmp_path / 'a.pth')


def test_description_knows_the_checkpoint_by_its_content(tmp_path):
    (tmp_path / 'x').mkdir()
    for path in (tmp_path / 'a.pth', tmp_path / 'x/a.pth'):
        path.write_bytes(b'weights' * 300_000)  # more than one block
    first = describe_run('configs/bap.py', tmp_path / 'a.pth', dict(threshold=0.5), ['cat'])
    second = describe_run(tmp_path / 'bap.py', tmp_path / 'x/a.pth', dict(threshold=0.5), ('cat',))
    digest = hashlib.sha256(b'weights' * 300_000).hexdigest()
    assert (
        first
        == second
        == dict(
            config='bap.py',
            checkpoint=dict(name='a.pth', sha256=digest[:16]),
            recipe=dict(threshold=0.5),
            classes=['cat'],
        )
    )


def test_names_of_the_classes(tmp_path):
    torch.save(dict(state_dict={}, meta=dict(dataset_meta=dict(classes=('cat', 'ring')))), tmp_path / 'named.pth')
    assert classifier_classes(Config(), tmp_path / 'named.pth') == ('cat', 'ring')
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    dataset = dict(type='RepeatDataset', dataset=dict(type='bana_mm.VOCBoxDataset'))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    assert classifier_classes(cfg, tmp_path / 'bare.pth')[14] == 'person'
    dataset['dataset']['metainfo'] = dict(classes=('a', 'b'))
    for loaders in (['train'], ['test'], ['train', 'test']):
        cfg = Config({f'{name}_dataloader': dict(dataset=dataset) for name in loaders})
        assert classifier_classes(cfg, tmp_path / 'bare.pth') == ('a', 'b')
    with pytest.raises(ValueError, match=r'bare\.pth: does not name its classes, and None has no train_dataloader'):
        classifier_classes(Config(), tmp_path / 'bare.pth')


class Model(nn.Module):
    """Its features are the pixels of the network's input, each a cell."""

    def __init__(self, pad_size_divisor=1):
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor(
            mean=[1.0, 2.0, 3.0], std=[1.0, 2.0, 4.0], pad_size_divisor=pad_size_divisor
        )
        self.bap_head = nn.Module()
        self.bap_head.weight = nn.Parameter(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
        self.label_recipe = LabelRecipe(flip=True)

    def extract_layers(self, inputs, names):
        return {name: inputs.clone() for name in names}


def test_the_network_gets_the_image_in_bgr():
    rgb = np.random.default_rng(0).integers(0, 255, (2, 4, 5, 3), dtype=np.uint8)
    first, second = extract_features(Model(), list(rgb))
    for (view,), image in ((first, rgb[0]), (second, rgb[1])):
        expected = [image[..., 2] - 1.0, (image[..., 1] - 2.0) / 2, (image[..., 0] - 3.0) / 4]  # blue, green, red
        np.testing.assert_allclose(view['last'], expected, atol=1e-5)
    (views,) = extract_features(Model(), [rgb[0]], LabelRecipe(flip=True))
    assert len(views) == 2 and torch.equal(views[0]['last'], views[1]['last'])  # turned back


def test_padding_is_an_error():
    with pytest.raises(ValueError, match='pad_size_divisor'):
        extract_features(Model(pad_size_divisor=16), [np.zeros((4, 8, 3), np.uint8)])


def test_maps_of_an_image():
    image = np.random.default_rng(0).integers(0, 255, (6, 7, 3), dtype=np.uint8)
    item = LabelItem.from_array(image, np.array([[1.0, 1, 4, 5]]), np.array([2]))
    model = Model()
    for recipe in (None, LabelRecipe(grid_size=2)):
        found = classifier_maps(model, item, recipe)
        (views,) = extract_features(model, [image], recipe or model.label_recipe)
        expected = activation_maps(views, item.layout, model.bap_head.weight, recipe or model.label_recipe)
        assert torch.equal(found.attention, expected.attention) and torch.equal(found.activation, expected.activation)
        assert not found.activation.requires_grad
