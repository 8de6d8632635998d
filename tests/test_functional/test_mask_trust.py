import numpy as np
import pytest

from bana_mm.functional.mask_trust import (
    doubt_stability,
    extent_share,
    jitter_stability,
    jittered_boxes,
    mask_iou,
    side_gaps,
    threshold_band,
)


def rows(*lines):
    return np.array([[character == '#' for character in line] for line in lines])


def disc(size, centre, radius):
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return np.hypot(y - centre[0], x - centre[1]) < radius


def cut(mask, box):
    x1, y1, x2, y2 = box
    return mask[y1:y2, x1:x2]


def test_iou():
    assert mask_iou(rows('##..'), rows('.##.')) == pytest.approx(1 / 3)
    assert mask_iou(rows('..'), rows('..')) == 1.0
    assert mask_iou(rows('#.'), rows('..')) == 0.0
    with pytest.raises(ValueError, match=r'\(1, 2\) and \(2, 1\)'):
        mask_iou(rows('##'), rows('#', '#'))


def test_jittered_boxes_by_hand():
    found = jittered_boxes([[20, 10, 60, 30]], (100, 100), shift=0.1, min_shift=1)
    # 4 pixels in x, 2 in y
    assert found[:, 0].tolist() == [[16, 12, 56, 32], [24, 8, 64, 28]]
    assert jittered_boxes([[20, 10, 60, 30]], (100, 100), shift=0.0, min_shift=3)[0, 0].tolist() == [17, 13, 57, 33]
    # two pixels leave the inner edge none to move, and the image ends at the right
    assert jittered_boxes([[98, 10, 100, 30]], (100, 100), shift=0.1)[:, 0].tolist() == [
        [97, 12, 100, 32],
        [98, 8, 100, 28],
    ]
    assert jittered_boxes(np.zeros((0, 4), int), (5, 5)).shape == (2, 0, 4)


@pytest.mark.parametrize('box', [[0, 0, 8, 6], [3, 2, 4, 3], [0, 0, 1, 1], [7, 5, 8, 6], [0, 2, 8, 3]])
@pytest.mark.parametrize('min_shift', [1, 5])
def test_jittered_boxes_stay_in_the_image_and_on_the_box(box, min_shift):
    for x1, y1, x2, y2 in jittered_boxes([box], (6, 8), shift=0.3, min_shift=min_shift)[:, 0].tolist():
        assert 0 <= x1 < x2 <= 8 and 0 <= y1 < y2 <= 6
        assert max(x1, box[0]) < min(x2, box[2]) and max(y1, box[1]) < min(y2, box[3])


def test_a_disc_that_is_found_from_any_box_is_stable():
    image, box = disc((60, 60), (30, 30), 20), [10, 10, 50, 50]
    others = jittered_boxes([box], image.shape)[:, 0].tolist()
    stability, flipped = jitter_stability(cut(image, box), box, [cut(image, other) for other in others], others)
    assert stability == 1.0 and not flipped.any()


def test_a_method_that_fills_its_box_is_as_stable_as_its_boxes_agree():
    box = [10, 10, 50, 50]
    others = jittered_boxes([box], (60, 60))[:, 0].tolist()
    whole = [np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in [box, *others]]
    stability, flipped = jitter_stability(whole[0], box, whole[1:], others)
    assert stability == 1.0 and not flipped.any()  # compared on the pixels that both boxes have alone


def test_pixels_that_flip_by_hand():
    mask = rows('....', '.##.', '.##.')
    grown = rows('......', '......', '..###.', '..##..', '......')  # from a box one pixel larger all round
    shrunken = rows('..', '#.')[:1]  # from the middle two columns of the middle row: nothing there
    box, boxes = [5, 5, 9, 8], [[4, 4, 10, 9], [6, 6, 8, 7]]
    stability, flipped = jitter_stability(mask, box, [grown, shrunken], boxes)
    assert flipped.tolist() == rows('....', '.###', '....').tolist()
    assert stability == pytest.approx((4 / 5 + 0) / 2)


def test_boxes_that_did_not_move_tell_nothing():
    mask = rows('##')
    assert jitter_stability(mask, [0, 0, 2, 1], [mask], [[0, 0, 2, 1]])[0] is None
    assert jitter_stability(mask, [0, 0, 2, 1], [], [])[0] is None


def test_threshold_band():
    scores = np.array([[-3.0, -0.5, 0.0, 0.5, 2.0, 1.0]])
    assert threshold_band(scores, 1.0).tolist() == [[False, True, True, True, False, True]]
    assert not threshold_band(scores, 0.0).any()
    assert threshold_band(scores, 0.5, threshold=2.0).tolist() == [[False, False, False, False, True, False]]
    # SAM's stability score: 1 pixel above 1, 5 above -1
    assert doubt_stability(scores > 0, threshold_band(scores, 1.0)) == pytest.approx(1 / 5)


def test_doubts():
    first, second = rows('##..#'), rows('.###.')
    assert doubt_stability(first, first != second) == pytest.approx(1 / 5) == mask_iou(first, second)
    assert doubt_stability(first, np.zeros_like(first)) == 1.0
    assert doubt_stability(rows('..'), rows('..')) == 0.0
    assert doubt_stability(rows('##'), rows('##')) == 0.0


def test_tightness():
    mask = rows('.....', '.##..', '..##.', '.....')
    # 1 of 5 columns at the left and right, 1 of 4 rows at the top and bottom
    assert side_gaps(mask).tolist() == [0.2, 0.25, 0.2, 0.25]
    assert extent_share(mask) == pytest.approx(0.6 * 0.5)
    touching = rows('#....', '....#', '..#..')
    assert side_gaps(touching).tolist() == [0, 0, 0, 0] and extent_share(touching) == 1
    assert side_gaps(rows('..', '..')).tolist() == [1] * 4 and extent_share(rows('..', '..')) == 0
