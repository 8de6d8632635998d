import numpy as np
import pytest
import torch
from mmengine.config import Config

from bana_mm.labels import ClassifierSource, LabelItem, answers, engine
from bana_mm.labels.engine import classifier_engine


@pytest.fixture
def source(tiny):
    return ClassifierSource(tiny / 'bap.py', tiny / 'bap.pth', device='cpu')


@pytest.fixture
def runs(monkeypatch):
    """Sizes of the images that went through the network at once."""
    batches, extract = [], engine.extract_features

    def count(model, images, recipe):
        batches.append([image.shape[:2] for image in images])
        return extract(model, images, recipe)

    monkeypatch.setattr(engine, 'extract_features', count)
    return batches


def item_of(seed, size=(30, 40), box=(4.0, 5, 30, 25)):
    image = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return LabelItem.from_array(image, [box], [1])


def test_only_images_of_one_size_go_through_the_network_at_once(source, runs):
    items = [item_of(0), item_of(1, (28, 40)), item_of(2)]
    together = answers(source, items, 'maps')
    assert runs == [[(30, 40)] * 2, [(28, 40)]]
    for item, maps in zip(items, together, strict=True):
        (alone,) = answers(source, [item], 'maps')
        assert all((alone[name] == maps[name]).mean() > 0.995 for name in alone)  # but for the network's rounding


def test_what_an_image_shows_is_computed_once(source, runs, monkeypatch):
    prepared = []
    make = engine.PreparedImage.__init__
    monkeypatch.setattr(
        engine.PreparedImage, '__init__', lambda self, *args: prepared.append(args[0]) or make(self, *args)
    )
    item = item_of(0)
    first, second = answers(source, [item], 'maps'), answers(source, [item], 'maps')
    assert len(runs) == len(prepared) == 1
    assert all(np.array_equal(first[0][name], second[0][name]) for name in first[0])
    # other boxes, masks in place of maps, another recipe: all from the same features
    other = LabelItem.from_array(item.image, [[4.0, 5, 20, 25]], [2])
    (maps,) = answers(source, [other], 'maps')
    assert set(np.unique(maps['Y_crf'])) == {0, 2} and len(prepared) == 2
    assert len(answers(source, [other], 'masks')[0]) == 1 and len(prepared) == 3
    cam = ClassifierSource(source.config, source.checkpoint, dict(background='cam'), 'cpu')
    answers(cam, [other], 'maps')
    assert len(runs) == 1 and len(prepared) == 4
    # other views and other images are not
    answers(ClassifierSource(source.config, source.checkpoint, dict(flip=True), 'cpu'), [other], 'maps')
    assert len(runs) == 2
    answers(source, [item_of(0)], 'maps')  # equal, but another array: which may change any time
    assert len(runs) == 3


def test_another_weight_is_another_classifier(source, tiny):
    item = item_of(0)
    (known,) = answers(source, [item], 'maps')
    source.bind(('zebra', 'ring'))  # class 1 has no weight now
    (unseen,) = answers(source, [item], 'maps')
    prepared = source._engine()._prepared._value[0]
    assert torch.equal(prepared.generator.weight[1], torch.zeros(8)) and known.keys() == unseen.keys()


def test_one_engine_for_a_classifier(tiny, tmp_path):
    files = str(tiny / 'bap.pth'), 'cpu'
    by_path = classifier_engine(str(tiny / 'bap.py'), *files)
    assert classifier_engine(str(tiny / 'bap.py'), *files) is by_path
    first, second, third = (Config.fromfile(tiny / 'bap.py') for _ in range(3))
    third.model.label_recipe.background = 'cam'
    by_config = classifier_engine(first, *files)
    assert classifier_engine(second, *files) is by_config
    assert classifier_engine(third, *files) is not by_config
    assert not by_config.model.training and by_config.classes == ('ring', 'triangle')
