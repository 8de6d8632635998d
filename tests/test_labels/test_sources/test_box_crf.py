import cv2
import numpy as np
import pytest

from bana_mm.labels import BoxCRFSource, build_label_source

NO_CRF = dict(bilateral=None, gaussian=None, iterations=0)


def noisy_disc(height=60, width=80, center=(40, 30), radius=14):
    """A red disc on green, and the disc as a mask."""
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, center, radius, 1, -1)
    image = np.where(disc[..., None] == 1, (200, 50, 40), (40, 160, 60))
    return (image + np.random.default_rng(0).integers(0, 20, image.shape)).astype(np.uint8), disc == 1


def boxes(*values):
    return np.array(values, dtype=float)


def test_follows_the_edge_of_a_disc():
    image, disc = noisy_disc()
    result = BoxCRFSource()(image, boxes([24, 14, 57, 47]), np.array([5]))
    assert set(np.unique(result)) == {0, 5}
    found = result == 5
    assert (found & disc).sum() / (found | disc).sum() > 0.95 > disc.sum() / 33**2  # far better than the box
    assert not found[:14].any() and not found[:, 57:].any()


@pytest.mark.parametrize(
    ('centre', 'prior', 'expected'),
    [
        # without a CRF the unary decides: a box of 4 x 8 pixels, centre sides times sqrt(centre)
        (0.25, 0.5, [[0] * 8, [0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 0, 0], [0] * 8]),
        (0.25, 0.6, [[1] * 8] * 4),
        (1, 0.4, [[1] * 8] * 4),
        (1e-6, 0.4, [[0] * 8, [0, 0, 0, 1, 0, 0, 0, 0], [0] * 8, [0] * 8]),  # one pixel at least
    ],
)
def test_unary_by_hand(centre, prior, expected):
    image = np.zeros((6, 11, 3), np.uint8)
    result = BoxCRFSource(centre, prior, **NO_CRF)(image, boxes([2, 1, 10, 5]), np.array([1]))
    assert result[1:5, 2:10].tolist() == expected
    assert result.sum() == np.sum(expected)  # nothing outside


def test_default_centre_is_a_fifth_of_the_box():
    result = BoxCRFSource(**NO_CRF)(np.zeros((120, 120, 3), np.uint8), boxes([10, 10, 110, 110]), np.array([1]))
    rows, columns = np.nonzero(result)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (37, 81, 37, 81)  # 45 = 100 * sqrt(.2)
    assert result.sum() == 45 * 45


def test_no_box_is_empty_where_the_crf_would_take_it():
    image = np.full((30, 30, 3), 90, np.uint8)  # nothing to tell apart, and so heavy a kernel that most pixels win
    source = BoxCRFSource(bilateral=None, gaussian=(1000, 20), prior=0.01)
    result = source(image, boxes([10, 10, 16, 16], [20, 20, 21, 21]), np.array([1, 2]))
    assert result[12:15, 11:14].any() and (result == 1).sum() >= 9
    assert result[20, 20] == 2


def test_smallest_box_in_front_whatever_the_order():
    image, _ = noisy_disc(height=80, radius=25)
    cv2.rectangle(image, (36, 26), (43, 33), (20, 20, 220), -1)
    both, labels = boxes([35, 25, 45, 35], [14, 4, 67, 57]), np.array([2, 1])
    result = BoxCRFSource()(image, both, labels)
    assert (result[28:32, 38:42] == 2).all() and (result == 1).sum() > 1000
    assert np.array_equal(BoxCRFSource()(image, both[::-1], labels[::-1]), result)


def test_parameters_reach_the_crf():
    source = build_label_source(dict(type='box_crf', bilateral=(5, 30, 7), gaussian=None, iterations=3, centre=0.1))
    assert source.crf == dict(bilateral=(5, 30, 7), gaussian=None, iterations=3, backend='auto')
    with pytest.raises(ValueError, match='bilateral: xy_std must be finite and above 0'):
        BoxCRFSource(bilateral=(4, 0, 3))(np.zeros((9, 9, 3), np.uint8), boxes([0, 0, 5, 5]), np.array([1]))


@pytest.mark.parametrize(
    ('field', 'value'), [('centre', 0), ('centre', 1.1), ('centre', float('nan')), ('prior', 0), ('prior', 1)]
)
def test_bad_parameters(field, value):
    with pytest.raises(ValueError, match=f'box_crf: {field} must be'):
        BoxCRFSource(**{field: value})


def test_image_without_boxes():
    assert BoxCRFSource()(np.zeros((4, 5, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, int)).max() == 0
