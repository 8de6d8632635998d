"""Averaging of augmented predictions."""

from types import SimpleNamespace

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from bana_mm.models.segmentors import LogitTTAModel


def sample(logits, **meta):
    data_sample = SegDataSample(seg_logits=PixelData(data=torch.tensor(logits).view(2, 1, 2)), metainfo=meta)
    data_sample.pred_sem_seg = PixelData(data=data_sample.seg_logits.data.argmax(0, True))
    data_sample.gt_sem_seg = PixelData(data=torch.zeros(1, 1, 2, dtype=torch.long))
    return data_sample


def merge(samples, out_channels=2):
    model = LogitTTAModel.__new__(LogitTTAModel)
    torch.nn.Module.__init__(model)
    object.__setattr__(model, 'module', SimpleNamespace(out_channels=out_channels))
    return model.merge_preds(samples)


def test_logits_are_averaged_before_the_softmax():
    # Pixel 0: one view is very sure of class 0, two are mildly for class 1: probabilities vote 1, logits 0.
    views = [
        sample([9.0, 0.0, 0.0, 1.0], img_path='a.jpg'),
        sample([0.0, 0.0, 3.0, 1.0], img_path='a.jpg'),
        sample([0.0, 0.0, 3.0, 1.0], img_path='a.jpg'),
    ]
    probabilities = sum(view.seg_logits.data.softmax(0) for view in views)
    assert probabilities.argmax(0)[0].tolist() == [1, 1]
    (merged,) = merge([views])
    torch.testing.assert_close(merged.seg_logits.data, torch.tensor([[[3.0, 0.0]], [[2.0, 1.0]]]))
    assert merged.pred_sem_seg.data.tolist() == [[[0, 1]]]
    assert merged.img_path == 'a.jpg' and merged.gt_sem_seg.data.shape == (1, 1, 2)


def test_images_stay_apart():
    merged = merge([[sample([1.0, 0.0, 0.0, 1.0])], [sample([0.0, 1.0, 1.0, 0.0])]])
    assert [m.pred_sem_seg.data.flatten().tolist() for m in merged] == [[0, 1], [1, 0]]


def test_the_plain_view_is_kept_beside_the_mean():
    first = sample([2.0, 0.0, 0.0, 0.0], plain=True, augmented=True)
    (merged,) = merge([[first, sample([0.0, 0.0, 4.0, 0.0], plain=False, augmented=True)]])
    torch.testing.assert_close(merged.plain_seg_logits.data, torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]]))
    torch.testing.assert_close(merged.seg_logits.data, torch.tensor([[[1.0, 0.0]], [[2.0, 0.0]]]))
    assert (merged.plain_pred_sem_seg.data[0, 0, 0], merged.pred_sem_seg.data[0, 0, 0]) == (0, 1)


def test_a_plain_view_that_is_not_augmented_does_not_count():
    view = sample([1.0, 0.0, 0.0, 0.0], plain=False, augmented=True)
    (merged,) = merge([[view, sample([0.0, 0.0, 9.0, 0.0], plain=True, augmented=False)]])
    assert merged.pred_sem_seg.data[0, 0, 0] == 0 and merged.plain_pred_sem_seg.data[0, 0, 0] == 1
