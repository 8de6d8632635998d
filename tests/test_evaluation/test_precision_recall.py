import numpy as np
import pytest

from bana_mm.evaluation.precision_recall import PrecisionRecall


def test_values_by_hand():
    curve = PrecisionRecall(2, bins=4)  # thresholds 0, .25, .5, .75, 1
    curve.update(np.array([[0.0, 0.3, 0.5], [0.6, 0.8, 1.0]]), np.array([[False, True, False], [False, True, True]]), 1)
    assert curve.precision(1).tolist() == [3 / 6, 3 / 5, 2 / 4, 2 / 2, 1 / 1]
    assert curve.recall(1).tolist() == [1, 1, 2 / 3, 2 / 3, 1 / 3]
    # found between .25 and .5: one at 3/5; between .75 and 1: one at 2/2; at 1: one at 1/1
    assert curve.average_precision(1) == pytest.approx((3 / 5 + 2 / 2 + 1 / 1) / 3)
    assert np.isnan(curve.precision(2)).all() and np.isnan(curve.recall(2)).all()
    assert curve.present.tolist() == [1]


def test_means_over_classes_and_all_pixels():
    curve = PrecisionRecall(3, bins=2)
    curve.update(np.array([1.0, 0.0]), np.array([True, False]), 1)
    curve.update(np.array([0.0, 0.0, 0.0, 0.0]), np.array([True, False, False, False]), 2)
    curve.update(np.array([1.0]), np.array([False]), 3)  # no positive pixel: left out
    precision, recall = curve.mean_curve()
    assert precision[0] == (1 / 2 + 1 / 4) / 2 and np.isnan(precision[1:]).all()  # nothing of class 2 above 0
    assert recall.tolist() == [1.0, 0.5, 0.5]
    assert curve.mean_average_precision() == pytest.approx((1 + 1 / 4) / 2)
    precision, recall = curve.mean_curve([1, 3])
    assert precision.tolist() == [1 / 2, 1.0, 1.0] and recall.tolist() == [1.0, 1.0, 1.0]
    assert curve.mean_average_precision([1, 3]) == 1 and np.isnan(curve.mean_average_precision([3]))
    assert curve.precision().tolist() == [2 / 7, 1 / 2, 1 / 2]
    assert curve.recall().tolist() == [1.0, 0.5, 0.5]


def test_without_positive_pixels():
    curve = PrecisionRecall(1, bins=2)
    assert np.isnan(curve.mean_curve()).all() and np.isnan(curve.mean_average_precision())
    curve.update(np.array([0.5, 0.6]), np.array([False, False]), 1)
    assert np.isnan(curve.mean_curve()).all() and np.isnan(curve.average_precision(1))
    assert curve.precision(1).tolist()[:2] == [0.0, 0.0]


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_same_as_comparing_with_each_threshold(dtype):
    rng = np.random.default_rng(0)
    curve = PrecisionRecall(1, bins=100)
    scores, positive, valid = [], [], []
    for _ in range(3):  # image by image
        # Rounded ones hit thresholds: 0.29 * 100 is below 29.
        scores.append(np.concatenate([rng.random(200), rng.integers(0, 101, 200) / 100]).astype(dtype))
        positive.append(rng.random(400) < scores[-1])
        valid.append(rng.random(400) < 0.8)
        curve.update(scores[-1].reshape(20, 20), positive[-1].reshape(20, 20), 1, valid[-1].reshape(20, 20))
    scores, positive = (np.concatenate(parts)[np.concatenate(valid)] for parts in (scores, positive))
    for threshold, precision, recall in zip(curve.thresholds, curve.precision(1), curve.recall(1)):
        predicted = scores >= dtype(threshold)
        assert recall == (predicted & positive).sum() / positive.sum()
        if predicted.any():
            assert precision == (predicted & positive).sum() / predicted.sum()


def test_index_of_a_threshold():
    curve = PrecisionRecall(1, bins=20)
    assert [curve.index(threshold) for threshold in (0, 0.15, 0.3, 1)] == [0, 3, 6, 20]
    for threshold in (0.12, -0.05, 1.05):
        with pytest.raises(ValueError, match=rf'threshold must be a multiple of 1/20 in \[0, 1\], got {threshold}'):
            curve.index(threshold)


def test_bad_input():
    curve = PrecisionRecall(2)
    positive = np.array([True, False])
    with pytest.raises(ValueError, match=r'scores must lie in \[0, 1\], got 0\.5 to 1\.5'):
        curve.update(np.array([0.5, 1.5]), positive, 1)
    with pytest.raises(ValueError, match=r'scores must lie in \[0, 1\]'):
        curve.update(np.array([0.5, np.nan]), positive, 1)
    with pytest.raises(ValueError, match=r'class_index must lie in 1\.\.2, got 0'):
        curve.update(np.array([0.5, 0.5]), positive, 0)
    with pytest.raises(ValueError, match=r'scores have shape \(2,\), positive \(2,\), valid \(3,\)'):
        curve.update(np.array([0.5, 0.5]), positive, 1, np.ones(3, bool))
    with pytest.raises(ValueError, match='bins must be at least 1, got 0'):
        PrecisionRecall(2, bins=0)
