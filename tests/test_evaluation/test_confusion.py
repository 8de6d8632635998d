import numpy as np
import pytest

from bana_mm.evaluation import ConfusionMatrix


def slow_iou(pairs, num_classes, leave_out_ignored):
    """Pixel by pixel with sets."""
    ground_truth_of = {c: set() for c in range(num_classes + 1)}
    predicted = {c: set() for c in range(num_classes + 1)}
    for number, (ground_truth, prediction) in enumerate(pairs):
        for place in np.ndindex(ground_truth.shape):
            if ground_truth[place] == 255 or (prediction[place] == 255 and leave_out_ignored):
                continue
            ground_truth_of[int(ground_truth[place])].add((number, place))
            if prediction[place] != 255:
                predicted[int(prediction[place])].add((number, place))
    return [
        len(ground_truth_of[c] & predicted[c]) / len(ground_truth_of[c] | predicted[c])
        if ground_truth_of[c] | predicted[c]
        else np.nan
        for c in ground_truth_of
    ]


@pytest.mark.parametrize('leave_out_ignored', [False, True])
def test_by_hand(leave_out_ignored):
    confusion = ConfusionMatrix(3, leave_out_ignored)
    confusion.update(
        np.array([[0, 0, 0, 1, 1, 2, 255, 255]], np.uint8), np.array([[0, 0, 1, 1, 255, 0, 3, 255]], np.uint8)
    )
    # background: 2 hits, of 3 true and 3 predicted; class 1: 1 hit, of 2 true (one of them predicted 255) and 2
    # predicted; class 2: missed; class 3: only predicted where the ground truth is 255
    one = 1 / 2 if leave_out_ignored else 1 / 3
    assert confusion.iou()[:3].tolist() == [2 / 4, one, 0.0]
    assert np.isnan(confusion.iou()[3])
    assert confusion.present().tolist() == [True, True, True, False]
    assert confusion.mean_iou() == pytest.approx((1 / 2 + one) / 3)
    assert confusion.mean_iou([0, 1]) == pytest.approx((1 / 2 + one) / 2)
    assert confusion.mean_iou([1, 3]) == one  # class 3 is not in the ground truth
    assert np.isnan(confusion.mean_iou([3]))
    assert confusion.ignored_share() == 1 / 6


def test_false_alarms_of_absent_classes_count_against_others_only():
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 2, 1, 1]], np.uint8))
    assert confusion.iou().tolist() == [0.5, 1.0, 0.0]
    assert confusion.mean_iou() == 0.75  # class 2 does not occur


def test_class_that_is_ignored_altogether():
    for leave_out_ignored, mean in ((False, 0.5), (True, 1.0)):
        confusion = ConfusionMatrix(1, leave_out_ignored)
        confusion.update(np.array([[0, 1]], np.uint8), np.array([[0, 255]], np.uint8))
        assert confusion.present().tolist() == [True, True]
        assert confusion.mean_iou() == mean
        assert confusion.ignored_share() == 0.5


def test_saying_nothing_is_no_better_than_any_wrong_class():
    ground_truth, prediction = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 2]], np.uint8)
    wrong, silent = ConfusionMatrix(2), ConfusionMatrix(2)
    wrong.update(ground_truth, prediction)
    silent.update(ground_truth, np.where(prediction == 2, 255, prediction))
    assert silent.mean_iou() == wrong.mean_iou() == (1 + 1 / 2) / 2


@pytest.mark.parametrize('leave_out_ignored', [False, True])
def test_against_slow_version_over_several_images(leave_out_ignored):
    rng = np.random.default_rng(0)
    values = np.array([0, 1, 2, 4, 5, 255], np.uint8)  # class 3 nowhere
    pairs = [tuple(rng.choice(values, (7, 9)) for _ in range(2)) for _ in range(3)]
    confusion = ConfusionMatrix(5, leave_out_ignored)
    for ground_truth, prediction in pairs:
        confusion.update(ground_truth, prediction)
    np.testing.assert_allclose(confusion.iou(), slow_iou(pairs, 5, leave_out_ignored), rtol=1e-12)


def test_nothing_counted():
    confusion = ConfusionMatrix(2)
    confusion.update(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert np.isnan(confusion.mean_iou()) and np.isnan(confusion.ignored_share())


def test_background_alone_is_no_figure():
    """Masks of 0 and 255, as many programs write them: the IoU of the background is 100 percent of nothing."""
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([[0, 255]], np.uint8), np.array([[0, 1]], np.uint8))
    assert confusion.iou()[0] == 1 and not confusion.compares_objects()
    assert np.isnan(confusion.mean_iou()) and np.isnan(confusion.mean_iou([0]))
    with pytest.raises(ValueError, match='masks: no pixel of any class was compared'):
        confusion.require_objects('masks')
    confusion.update(np.array([[2]], np.uint8), np.array([[255]], np.uint8))  # an object, though nothing is found
    confusion.require_objects('masks')


@pytest.mark.parametrize(
    ('ground_truth', 'prediction', 'message'),
    [
        ([[0, 3]], [[0, 0]], r'here: ground truth: label map holds class 3; allowed are 0\.\.2 and 255'),
        ([[0, 0]], [[254, 0]], r'here: prediction: label map holds class 254'),
        ([[0, 0]], [[0], [0]], r'here: ground truth has shape \(1, 2\), prediction \(2, 1\)'),
    ],
)
def test_bad_input(ground_truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(2).update(np.array(ground_truth, np.uint8), np.array(prediction, np.uint8), 'here')
