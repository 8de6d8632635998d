"""A model with another number of classes than its data stops before it trains."""

from types import SimpleNamespace

import pytest
from mmengine.registry import HOOKS
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
