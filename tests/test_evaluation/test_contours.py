"""Contours against values by hand and against the distances of all pairs of pixels."""

import itertools
import math

import numpy as np
import pytest

from bana_mm.evaluation.contours import ContourCounts, contour, contour_matches, tolerance_pixels


def square(row, column, side, size=20):
    label = np.zeros((size, size), np.uint8)
    label[row : row + side, column : column + side] = 1
    return label


def score(ground_truth, prediction, tolerance=1.0, num_classes=1):
    counts = ContourCounts(num_classes, tolerance)
    counts.update(ground_truth, prediction)
    return counts


@pytest.mark.parametrize('side, pixels', [(6, 24), (3, 12)])
def test_contour_of_a_square(side, pixels):
    found = contour(square(7, 5, side) > 0)
    assert found.sum() == pixels
    ring = np.zeros((20, 20), bool)
    ring[6 : 7 + side, 4 : 5 + side] = True
    ring[7 : 6 + side, 5 : 4 + side] = False
    assert np.array_equal(found, ring)


def test_the_border_of_the_image_is_no_contour():
    assert not contour(np.ones((4, 5), bool)).any()
    half = np.zeros((4, 5), bool)
    half[:, 3:] = True
    assert np.array_equal(contour(half), np.eye(5, dtype=bool)[2][None].repeat(4, axis=0))


@pytest.mark.parametrize(
    'shift, value', [((0, 0), 1), ((0, 1), 1), ((0, 2), 0.58333), ((0, 3), 0.5), ((4, 0), 0.41667), ((2, 2), 0.25)]
)
def test_shifted_square(shift, value):
    f = score(square(7, 5, 6), square(7 + shift[0], 5 + shift[1], 6)).f_score()
    assert f.item() == pytest.approx(value, abs=1e-5)


def test_tolerance():
    assert tolerance_pixels((375, 500)) == tolerance_pixels((500, 375)) == 5
    assert tolerance_pixels((376, 500)) == 6 and tolerance_pixels((20, 20), 2.0) == 2
    assert score(square(7, 5, 6), square(7, 7, 6), 0.0).f_score().item() < 0.58333
    with pytest.raises(ValueError, match='must not be negative'):
        ContourCounts(1, -1.0)


def slow_contour(mask):
    height, width = mask.shape
    pixels = []
    for y, x in itertools.product(range(height), range(width)):
        others = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        if any(mask[min(b, height - 1), min(a, width - 1)] != mask[y, x] for b, a in others):
            pixels.append((y, x))
    return pixels


def slow_matches(own, other, distance):
    return sum(any(math.dist(p, q) <= distance for q in other) for p in own)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('pixels', [0, 1, 3])
def test_equals_the_distances_of_all_pairs(seed, pixels):
    generator = np.random.default_rng(seed)
    ground_truth, prediction = (np.kron(generator.random((4, 5)) > 0.5, np.ones((4, 3))) > 0 for _ in range(2))
    true, predicted = slow_contour(ground_truth), slow_contour(prediction)
    expected = (
        slow_matches(predicted, true, pixels),
        len(predicted),
        slow_matches(true, predicted, pixels),
        len(true),
    )
    assert contour_matches(ground_truth, prediction, pixels) == expected


def test_classes_are_summed_over_images():
    counts = ContourCounts(3, 1.0)
    first, second = square(7, 5, 6), square(3, 3, 6) * 2
    first[0, :3] = 255  # as background
    counts.update(first, square(7, 7, 6))
    counts.update(second, second)
    counts.update(square(7, 5, 6), square(7, 5, 6))
    # class 1: 14 of 24 match in the first image, 24 of 24 in the third
    assert counts.f_score().tolist() == pytest.approx([38 / 48, 1, 1])
    assert counts.present().tolist() == [True, True, False]
    assert counts.mean_f() == pytest.approx((38 / 48 + 1) / 2) and counts.mean_f([0, 2, 3]) == 1
    assert math.isnan(counts.mean_f([3]))


def test_missed_and_invented_classes_score_zero():
    nothing = np.zeros((20, 20), np.uint8)
    assert score(square(7, 5, 6), nothing).f_score().item() == 0
    invented = score(nothing, square(7, 5, 6))
    assert invented.f_score().item() == 0 and math.isnan(invented.mean_f())
    assert score(nothing, nothing).f_score().item() == 1
    everywhere = np.ones((20, 20), np.uint8)  # has no contour, and is found
    assert score(everywhere, everywhere).mean_f() == 1
    assert score(square(7, 5, 6), square(1, 14, 3), 1.0).f_score().item() == 0  # far apart


def test_bad_maps():
    with pytest.raises(ValueError, match='shape'):
        score(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r'class 2; allowed are 0\.\.1'):
        score(np.zeros((2, 2), np.uint8), np.full((2, 2), 2, np.uint8))
