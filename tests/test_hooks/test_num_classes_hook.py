"""A model or a metric with other classes than the data stops before it trains or is tested."""

import json
from types import SimpleNamespace

import pytest
from mmengine.evaluator import Evaluator
from mmengine.registry import HOOKS, METRICS
from torch import nn

import bana_mm.registry  # noqa: F401  registers the scope


def check(num_classes, classes, name='head', stage='train'):
    head = nn.Linear(1, 1)
    head.num_classes = num_classes
    dataset = SimpleNamespace(metainfo=dict(classes=classes) if classes else {})
    runner = SimpleNamespace(model=nn.ModuleDict({name: head}))
    setattr(runner, f'{stage}_dataloader', SimpleNamespace(dataset=dataset))
    getattr(HOOKS.build(dict(type='bana_mm.NumClassesHook')), f'before_{stage}')(runner)


def test_equal_numbers_and_unknown_classes_pass():
    check(2, ('cat', 'dog'))
    check(2, None)


def test_parts_that_classify_nothing_pass():
    check(1, ('cat', 'dog'), name='rpn_head')
    check(-1, ('cat', 'dog'), name='backbone')


@pytest.mark.parametrize('num_classes', [1, 20])
def test_other_numbers_are_named(num_classes):
    with pytest.raises(ValueError, match=rf'model.head has num_classes={num_classes}, but .* 2 classes \(cat, dog\)'):
        check(num_classes, ('cat', 'dog'))
    with pytest.raises(ValueError, match=rf'num_classes={num_classes}, but the test set has 2 classes'):
        check(num_classes, ('cat', 'dog'), stage='test')


@pytest.mark.parametrize('stage', ['train', 'test'])
def test_order_of_the_classes_of_a_coco_metric(tmp_path, stage):
    """It takes them in the order of the file, where further categories do no harm."""
    categories = [dict(id=number, name=name) for number, name in enumerate(('fish', 'dog', 'cat'), 1)]
    ann_file = tmp_path / 'ground_truth.json'
    ann_file.write_text(json.dumps(dict(images=[], annotations=[], categories=categories)))
    metrics = [
        METRICS.build(dict(type='mmdet.CocoMetric', ann_file=file, metric='segm')) for file in (str(ann_file), None)
    ]
    loop = SimpleNamespace(evaluator=Evaluator(metrics))
    runner = SimpleNamespace(model=nn.Linear(1, 1))
    setattr(runner, 'val_loop' if stage == 'train' else 'test_loop', loop)
    hook = getattr(HOOKS.build(dict(type='bana_mm.NumClassesHook')), f'before_{stage}')
    dataset = SimpleNamespace(metainfo=dict(classes=('dog', 'cat')))
    setattr(runner, f'{stage}_dataloader', SimpleNamespace(dataset=dataset))
    hook(runner)
    dataset.metainfo['classes'] = ('cat', 'dog')
    with pytest.raises(ValueError, match=r'CocoMetric counts .*\(dog, cat\), but metainfo.classes has cat, dog; name'):
        hook(runner)
