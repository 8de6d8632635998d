import numpy as np
import pytest

from bana_mm.evaluation.filling_rates import FillingRates, box_filling_rates

LABEL = np.array([
    [0, 1, 1, 255],
    [0, 1, 2, 2],
    [0, 0, 2, 2],
], dtype=np.uint8)
BOXES = np.array([[1, 0, 4, 2], [2, 1, 4, 3], [0, 0, 4, 3]], dtype=float)


def test_values_by_hand():
    # box 0, class 1: 1 1 (255) / 1 2 2: three of five; box 1, class 2: all four; box 2, class 1: three of eleven
    assert box_filling_rates(LABEL, BOXES, [1, 2, 1]) == pytest.approx([3 / 5, 1, 3 / 11])
    assert box_filling_rates(LABEL, BOXES, [2, 1, 3]) == pytest.approx([2 / 5, 0, 0])
    valid = np.ones_like(LABEL, dtype=bool)
    valid[0, 1] = valid[1, 2] = False
    assert box_filling_rates(LABEL, BOXES, [1, 2, 1], valid) == pytest.approx([2 / 3, 1, 2 / 9])


def test_boxes_are_rounded_and_clipped():
    assert box_filling_rates(LABEL, [[1.6, .7, 9., 2.6]], [2]) == [1.]  # columns 2 and 3, rows 1 and 2
    assert box_filling_rates(LABEL, [[1.2, .3, 1.3, .4]], [1]) == [1.]  # the pixel in column 1 and row 0


def test_box_without_a_pixel_that_counts():
    rates = FillingRates()
    rates.update(LABEL, [[3, 0, 4, 1], [1, 0, 3, 1]], [1, 1])
    assert np.isnan(rates.rates[0]) and rates.of_class(1).tolist() == [1.]
    assert rates.mean() == rates.mean(1) == 1
    assert np.isnan(rates.mean(2)) and np.isnan(FillingRates().mean())
    none = FillingRates()
    none.update(LABEL, [[3, 0, 4, 1]], [1])
    assert np.isnan(none.mean()) and np.isnan(none.difference(none)) and np.isnan(none.distance(none))


def test_means_weigh_classes_alike():
    rates = FillingRates()
    rates.update(LABEL, BOXES, [1, 2, 1])
    rates.update(LABEL, np.empty((0, 4)), [])
    assert rates.classes.tolist() == [1, 2, 1]
    assert rates.mean(1) == pytest.approx((3 / 5 + 3 / 11) / 2)
    assert rates.mean() == pytest.approx((rates.mean(1) + 1) / 2)


def test_difference_and_distance():
    first, second = FillingRates(), FillingRates()
    first.extend(np.array([.2, .6, np.nan, .5]), [1, 1, 2, 2])
    second.extend(np.array([.6, .1, .5, .5]), [1, 1, 2, 2])
    assert first.difference(second) == pytest.approx((.4 + .5 + 0) / 3)
    assert first.distance(second) == pytest.approx((.1 + .0 + .0) / 3)  # .2 .5 .6 against .1 .5 .6
    assert first.difference(first) == first.distance(first) == 0


def test_bad_input():
    with pytest.raises(ValueError, match='3 boxes but 2 classes'):
        box_filling_rates(LABEL, BOXES, [1, 2])
    with pytest.raises(ValueError, match=r'label map has shape \(3, 4\), valid \(4, 3\)'):
        box_filling_rates(LABEL, BOXES, [1, 2, 1], np.ones((4, 3), bool))
    first, second = FillingRates(), FillingRates()
    first.extend(np.array([.5]), [1])
    second.extend(np.array([.5]), [2])
    with pytest.raises(ValueError, match=r'different boxes \(1 and 1\)'):
        first.difference(second)
