"""The number of classes follows from the data set's names."""

import pytest
from mmengine.config import Config
from torch import nn

from bana_mm.utils.config import check_num_classes, set_num_classes

HOOKS = [dict(type='bana_mm.NumClassesHook')]


def config(model, dataset, hooks=HOOKS, **more):
    return Config(dict(model=model, train_dataloader=dict(dataset=dataset), custom_hooks=hooks, **more))


def own(*classes, **more):
    return dict(type='bana_mm.VOCBoxDataset', metainfo=dict(classes=classes), **more)


def test_every_head_of_a_model():
    model = dict(
        backbone=dict(num_classes=-1),
        rpn_head=dict(num_classes=1),
        roi_head=dict(bbox_head=[dict(num_classes=80), dict(num_classes=80)], mask_head=dict(num_classes=80)),
        auxiliary_head=[dict(num_classes=21), dict(num_classes=21)],
        decode_head=dict(head=dict(num_classes=21)),
    )
    cfg = config(model, own('lion', 'zebra'))
    set_num_classes(cfg)
    assert cfg.model.to_dict() == dict(
        backbone=dict(num_classes=-1),
        rpn_head=dict(num_classes=1),
        roi_head=dict(bbox_head=[dict(num_classes=2), dict(num_classes=2)], mask_head=dict(num_classes=2)),
        auxiliary_head=[dict(num_classes=2), dict(num_classes=2)],
        decode_head=dict(head=dict(num_classes=2)),
    )


@pytest.mark.parametrize(
    'dataset, number',
    [
        (own('lion', 'zebra'), 2),
        (own('lion', 'zebra', background_class=True), 3),
        (dict(type='bana_mm.VOCBoxDataset', metainfo=dict(classes='lion')), 1),  # a name, not four letters
        (dict(type='RepeatDataset', dataset=own('lion', 'zebra', 'gnu')), 3),
        (dict(type='ConcatDataset', datasets=[own('lion', 'zebra', 'gnu')] * 2), 3),
        (dict(type='BaseSegDataset', metainfo=dict(classes=('background', 'lion'))), 2),
        (dict(type='bana_mm.VOCBoxDataset'), 7),  # nothing says: left as it is
    ],
)
def test_classes_of_data_sets(dataset, number):
    cfg = config(dict(head=dict(num_classes=7)), dataset)
    set_num_classes(cfg)
    assert cfg.model.head.num_classes == number


def test_what_is_left_alone():
    cfg = config(dict(head=dict(num_classes=7)), own('lion'), hooks=[])
    set_num_classes(cfg)
    assert cfg.model.head.num_classes == 7
    cfg = Config(dict(model=dict(head=dict(num_classes=7)), custom_hooks=HOOKS))
    set_num_classes(cfg)
    assert cfg.model.head.num_classes == 7
    cfg.test_dataloader = dict(dataset=own('lion'))
    set_num_classes(cfg)
    assert cfg.model.head.num_classes == 1


def test_check():
    head, rpn = nn.Linear(1, 1), nn.Linear(1, 1)
    head.num_classes, rpn.num_classes = 2, 1
    model = nn.ModuleDict(dict(head=head, rpn_head=rpn))
    check_num_classes(model, ('lion', 'zebra'), 'training set')
    check_num_classes(model, (), 'training set')
    with pytest.raises(ValueError, match=r'model.head has num_classes=2, but the test set has 1 classes \(lion\)'):
        check_num_classes(model, ('lion',), 'test set')
