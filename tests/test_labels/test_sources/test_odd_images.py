"""Images of odd sizes, with boxes of every kind: each source has a label for them."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from bana_mm.labels import LabelItem, build_label_source, label_map
from bana_mm.labels.classifier import extract_features
from bana_mm.labels.generator import LabelGenerator
from bana_mm.registry import MODELS

SIZES = [(1, 1), (1, 30), (30, 1), (2, 2), (2000, 8), (8, 2000)]


def items(size):
    """An image without boxes, and ones whose boxes are all of it, a pixel, and several of them."""
    height, width = size
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole, pixel = (0, 0, width, height), (width - 1, height - 1, width, height)
    for boxes in ([], [whole], [pixel], [whole, pixel, whole]):
        yield LabelItem.from_array(image, np.array(boxes, float).reshape(-1, 4), np.arange(len(boxes)) % 2 + 1)


def check(label, item):
    assert label.shape == item.layout.size and label.dtype == np.uint8
    assert np.isin(label, [0, 1, 2, 255]).all()
    if not len(item.layout.boxes):
        assert not label.any()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', ['box', 'grabcut', 'box_crf'])
def test_sources_without_a_network(name, size):
    source = build_label_source(name)
    for item in items(size):
        check(label_map(source, item), item)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='bana_mm.BoxClassifier',
            backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
            bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8),
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[100.0] * 3, std=[50.0] * 3),
        )
    )
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('recipe', ['paper', 'bana_mm'])
def test_the_classifier(model, recipe, size):
    generator = LabelGenerator(model.bap_head.weight, dict(recipe=recipe, crf=dict(iterations=1)))
    for item in items(size):
        (features,) = extract_features(model, [item.image], generator.recipe)
        y_crf = generator.prepare(features, item.image, item.layout).run()
        check(y_crf, item)
        check(generator.retrieve(features, item.layout, y_crf), item)


@pytest.mark.parametrize('size', SIZES)
def test_the_classifier_learns(model, size):
    """A training step on such an image is finite."""
    for item in items(size):
        sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        boxes = torch.from_numpy(np.asarray(item.layout.boxes)).float().reshape(-1, 4)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 2)
        batch = dict(inputs=[torch.from_numpy(item.image).permute(2, 0, 1)], data_samples=[sample])
        data = model.data_preprocessor(batch, training=True)
        loss = model(**data, mode='loss')['loss_cls']
        model.zero_grad()
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
