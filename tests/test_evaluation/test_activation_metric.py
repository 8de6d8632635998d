"""The metric of image classifiers by hand."""

import numpy as np
import pytest
import torch

from bana_mm.evaluation.activation_metric import average_precision, count_levels
from bana_mm.evaluation.confusion import ConfusionMatrix
from bana_mm.registry import METRICS


def evaluate(samples, **settings):
    metric = METRICS.build(dict(type='bana_mm.ActivationMapMetric', **settings))
    metric.dataset_meta = dict(classes=('cat', 'cow', 'dog'))
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def make_sample(scores, present, ground_truth=None, maps=None):
    sample = dict(pred_image_scores=torch.tensor(scores), gt_image_classes=torch.tensor(present, dtype=torch.bool))
    if ground_truth is not None:
        sample.update(
            gt_sem_seg=dict(sem_seg=torch.tensor([ground_truth], dtype=torch.uint8)),
            activation_classes=torch.tensor(present).nonzero().flatten() + 1,
            pred_activations=dict(data=torch.tensor(maps).reshape(-1, *np.shape(ground_truth))),
        )
    return sample


def test_average_precision():
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.5, 0.2], [0.7, 0.5, 0.3], [0.6, 0.5, 0.4]])
    present = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], bool)
    found = average_precision(scores, present)
    # ranks 1 and 3: precision 1 and 2/3; four of one score: 1 in 4
    assert found[:2].tolist() == pytest.approx([(1 + 2 / 3) / 2, 0.25]) and np.isnan(found[2])


SAMPLES = [
    # cat is 0.9 and 0.2 where it is, 0.2 and 0.0 beside it
    make_sample([0.9, 0.1, 0.1], [1, 0, 0], [[1, 1, 0, 0, 255]], [[0.9, 0.2, 0.2, 0.0, 0.9]]),
    make_sample([0.3, 0.9, 0.1], [0, 1, 0], [[2, 2, 0, 0, 0]], [[0.9, 0.9, 0.0, 0.0, 0.0]]),
    make_sample([0.1, 0.1, 0.1], [0, 0, 0], [[0, 0, 0, 0, 0]], []),
    make_sample([0.5, 0.1, 0.1], [1, 0, 0]),  # has no mask
]


def test_levels():
    scores = evaluate(SAMPLES, levels=(0.14, 0.5))
    background, cat = 9 / 10, 2 / 3  # at 0.14 one pixel of background is cat
    assert scores['cam_mIoU'] == pytest.approx(100 * (background + cat + 1) / 3)
    background, cat = 10 / 11, 1 / 2  # at 0.5 one pixel of cat is background
    best = max(scores['cam_mIoU'], 100 * (background + cat + 1) / 3)
    assert scores['cam_mIoU_best'] == pytest.approx(best) and scores['best_level'] == 0.14
    assert scores['image_mAP'] == 100
    assert set(evaluate(SAMPLES)) == {'image_mAP', 'cam_mIoU'}


@pytest.mark.parametrize('levels', [(0.5,), (0.75, 0.0, 0.5, 0.25, 0.5)])  # in no order, and some score is one of them
def test_all_levels_at_once_against_one_after_the_other(levels):
    rng = np.random.default_rng(0)
    ground_truth = rng.choice([0, 1, 2, 3, 255], (30, 40)).astype(np.uint8)
    best = rng.integers(0, 4, (30, 40)).astype(np.uint8)
    scores = (rng.integers(0, 9, (30, 40)) / 8).astype(np.float32)
    counts = count_levels(ground_truth, best, scores, levels, 3)
    for level, found in zip(levels, counts):
        expected = ConfusionMatrix(3)
        expected.update(ground_truth, np.where(scores > level, best, 0).astype(np.uint8))
        assert np.array_equal(found, expected.counts)


def test_errors_name_the_image():
    wrong = make_sample([0.9, 0.1, 0.1], [1, 0, 0], [[4, 0]], [[0.9, 0.2]]) | dict(img_path='a.jpg')
    with pytest.raises(ValueError, match='a.jpg: ground truth: label map holds class 4'):
        evaluate([wrong])


def test_contours():
    scores = evaluate(SAMPLES, contours=0.0)
    # at 0.25 cat covers the first pixel and the last one: contours at 0 and 3, where the ground truth has one at 1
    assert scores['cam_contour_F'] == pytest.approx(50)
    assert evaluate(SAMPLES, contours=1.0)['cam_contour_F'] == pytest.approx(100 * (2 / 3 + 1) / 2)


@pytest.mark.parametrize('levels', [(), (1.5,)])
def test_bad_levels(levels):
    with pytest.raises(ValueError, match='levels must be numbers in'):
        evaluate(SAMPLES, levels=levels)


def test_without_masks():
    assert evaluate(SAMPLES[3:]) == dict(image_mAP=100)
