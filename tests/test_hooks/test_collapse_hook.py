"""Classes that are learnt as boxes, or not at all, are named while training goes on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import HOOKS, DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

Y, X = np.mgrid[:64, :64]
RECTANGLE = ((Y >= 10) & (Y < 40) & (X >= 5) & (X < 50)).astype(np.uint8)
DISC = (np.hypot(Y - 30, X - 30) < 20).astype(np.uint8)
NOTHING = np.zeros((64, 64), np.uint8)


def hook(**options):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return HOOKS.build(dict(type='bana_mm.CollapseHook', **options))


def runner(classes):
    said = []
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    logger = SimpleNamespace(warning=said.append)
    return SimpleNamespace(train_dataloader=loader, val_dataloader=loader, logger=logger), said


def seg_sample(**maps):
    sample = SegDataSample()
    for name, label in maps.items():
        sample.set_data({name: PixelData(data=torch.from_numpy(label.astype(np.int64)[None]))})
    return sample


def validate(checker, run, samples):
    checker.before_val_epoch(run)
    for sample in samples:
        checker.after_val_iter(run, 0, None, [sample])
    checker.after_val_epoch(run, {})


def test_predictions_that_are_boxes_or_missing():
    run, said = runner(('background', 'cat', 'dog', 'cow'))
    ground_truth = DISC.copy()
    ground_truth[50:62, 50:62] = 3  # a cow that is never found
    samples = [seg_sample(pred_sem_seg=RECTANGLE, gt_sem_seg=ground_truth) for _ in range(10)]
    samples += [seg_sample(pred_sem_seg=2 * DISC, gt_sem_seg=2 * DISC)] * 12
    validate(hook(), run, samples)
    assert len(said) == 2
    assert said[0].startswith('CollapseHook: cat: 10 of 10 predictions are whole rectangles; the model draws boxes.')
    assert said[1].startswith('CollapseHook: cow: 10 of 10 predictions are empty; the model does not find this class.')
    said.clear()
    validate(hook(), run, samples[:9] + samples[10:])  # counted anew, and nine are too few
    assert said == []


def test_labels_of_the_first_iterations():
    run, said = runner(('background', 'cat', 'dog'))
    checker = hook(label_iters=3, min_masks=6)
    checker.before_train(run)
    boxes = seg_sample(gt_sem_seg=np.where(DISC & (Y > 60), 255, 2 * RECTANGLE))
    batches = [[boxes, boxes, seg_sample(gt_sem_seg=DISC)]] * 2 + [[boxes] * 2, [seg_sample(gt_sem_seg=RECTANGLE)] * 9]
    for number, batch in enumerate(batches):
        checker.after_train_iter(run, number, dict(data_samples=batch))
        validate(checker, run, [])  # in between
        assert len(said) == (number >= 2)
    assert said[0].startswith(
        'CollapseHook: dog: 6 of 6 labels are whole rectangles; they tell no more than the boxes.'
    )


def test_data_without_a_background_class():
    run, said = runner(('wall', 'door'))
    samples = [seg_sample(pred_sem_seg=NOTHING + RECTANGLE, gt_sem_seg=RECTANGLE)] * 10
    validate(hook(), run, samples)
    assert [line.split(':')[1] for line in said] == [' door']


def test_label_maps_beside_boxes_have_a_background():
    """As of the classifier, whose data set does not name it."""
    run, said = runner(('cat', 'dog'))
    sample = DetDataSample()
    sample.gt_instances = InstanceData()
    for name in ('pred_sem_seg', 'gt_sem_seg'):
        sample.set_field(PixelData(data=torch.from_numpy(2 * RECTANGLE.astype(np.int64)[None])), name)
    validate(hook(), run, [sample] * 10)
    assert [line.split(':')[1] for line in said] == [' dog']


def instances(masks, labels, scores=None):
    boxes = []
    for mask in masks:
        y, x = np.nonzero(mask) if mask.any() else np.nonzero(RECTANGLE)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    found = InstanceData(bboxes=torch.tensor(boxes).float(), labels=torch.tensor(labels))
    if scores is None:
        found.masks = BitmapMasks(np.stack(masks), 64, 64)
    else:
        found.masks, found.scores = torch.from_numpy(np.stack(masks)).bool(), torch.tensor(scores)
    return found


def test_instances():
    run, said = runner(('cat', 'dog', 'cow'))
    sample = DetDataSample()
    masks = [RECTANGLE, DISC, NOTHING, RECTANGLE]
    sample.pred_instances = instances(masks, [0, 1, 2, 1], [0.9, 0.9, 0.9, 0.1])
    validate(hook(), run, [sample] * 10)
    assert [line.partition(';')[0] for line in said] == [
        'CollapseHook: cat: 10 of 10 predictions are whole rectangles',
        'CollapseHook: cow: 10 of 10 predictions are empty',
    ]
    said.clear()
    sample = DetDataSample()
    sample.gt_instances = instances(masks, [0, 1, 2, 1])
    checker = hook(label_iters=5)
    checker.before_train(run)
    for number in range(6):
        checker.after_train_iter(run, number, dict(data_samples=[sample, sample]))
    assert [line.partition(';')[0] for line in said] == [
        'CollapseHook: cat: 10 of 10 labels are whole rectangles',
        'CollapseHook: cow: 10 of 10 labels are empty',
    ]


@pytest.mark.parametrize('iters', [0, 100])
def test_says_nothing_of_labels_that_were_not_counted(iters):
    run, said = runner(('background', 'cat'))
    checker = hook(label_iters=iters, min_masks=1)
    checker.before_train(run)
    for number in range(10):
        checker.after_train_iter(run, number, dict(data_samples=[seg_sample(gt_sem_seg=RECTANGLE)]))
    assert said == []
