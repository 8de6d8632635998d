"""A model with another number of classes than its data stops before it trains."""

from types import SimpleNamespace

import pytest
from mmengine.registry import HOOKS
from torch import nn

import bana_mm.registry  # noqa: F401  registers the scope


def check(num_classes, classes):
    head = nn.Linear(1, 1)
    head.num_classes = num_classes
    dataset = SimpleNamespace(metainfo=dict(classes=classes) if classes else {})
    runner = SimpleNamespace(model=nn.ModuleDict(dict(head=head)), train_dataloader=SimpleNamespace(dataset=dataset))
    HOOKS.build(dict(type='bana_mm.NumClassesHook')).before_train(runner)


def test_equal_numbers_and_unknown_classes_pass():
    check(2, ('cat', 'dog'))
    check(2, None)


@pytest.mark.parametrize('num_classes', [1, 20])
def test_other_numbers_are_named(num_classes):
    with pytest.raises(ValueError, match=rf'model.head has num_classes={num_classes}, but .* 2 classes \(cat, dog\)'):
        check(num_classes, ('cat', 'dog'))
