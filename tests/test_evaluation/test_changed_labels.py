import numpy as np
import pytest

from bana_mm.evaluation.changed_labels import change_labels, correct_doubted, fill_boxes, grow
from bana_mm.structures import BoxLayout

RNG = np.random.default_rng(0)


def label_map(*rows: str) -> np.ndarray:
    """One character a pixel: '.' background, 'x' ignored, otherwise the class."""
    return np.array([[{'.': 0, 'x': 255}.get(c) if c in '.x' else int(c) for c in row] for row in rows], np.uint8)


def layout_of(label: np.ndarray, boxes: list, classes: list[int]) -> BoxLayout:
    return BoxLayout.from_boxes(label.shape, boxes, classes)


def test_growing_stays_in_the_boxes_of_the_class():
    label = label_map('......', '..1...', '....2.', '......')
    grown = grow(label, layout_of(label, [[1, 0, 3, 3], [4, 2, 6, 4]], [1, 2]), 1)
    np.testing.assert_array_equal(grown, label_map('.11...', '.11...', '.11.22', '....22'))
    assert label[0, 1] == 0  # the given map is left alone


def test_growing_takes_background_only():
    label = label_map('12x.')
    box = [[0, 0, 4, 1]]
    np.testing.assert_array_equal(grow(label, layout_of(label, box, [1]), 2), label)  # its reach ends one pixel short
    np.testing.assert_array_equal(grow(label, layout_of(label, box, [2]), 2), label_map('12x2'))


def test_shrinking_leaves_the_edge_of_the_image_and_what_is_ignored():
    label = label_map('111..', '111x2', '111x2')
    shrunk = grow(label, layout_of(label, [], []), -1)
    # the column beside the background goes, as does the 2 under it; 255 is no background
    np.testing.assert_array_equal(shrunk, label_map('11...', '11.x.', '111x2'))


def test_filled_boxes():
    label = label_map('1...', '....', '..2.')
    layout = layout_of(label, [[0, 0, 2, 2], [1, 0, 4, 3]], [1, 2])
    np.testing.assert_array_equal(fill_boxes(label, layout, 0.0, RNG), label)
    # the smaller box is in front, and no object is painted over
    np.testing.assert_array_equal(fill_boxes(label, layout, 1.0, RNG), label_map('1122', '1122', '.222'))
    one = layout_of(label, [[0, 0, 2, 2]], [1])
    counts = [(fill_boxes(label, one, 0.25, RNG) != label).any() for _ in range(400)]
    assert 0.18 < np.mean(counts) < 0.32


def test_corrected_labels_stay_doubted():
    y_crf = label_map('11..2', '11..2')
    y_ret = label_map('1...2', '1..1.')  # doubted: (0, 1), (1, 1), (1, 3), (1, 4)
    ground_truth = label_map('1..12', '1..12')  # of these (0, 1), (1, 1) and (1, 3) are wrong: two regions
    label, other = correct_doubted(y_crf, y_ret, ground_truth, 1.0, RNG)
    np.testing.assert_array_equal(label, label_map('1...2', '1..12'))
    np.testing.assert_array_equal(other, label_map('1x..2', '1x.xx'))
    np.testing.assert_array_equal(label != other, y_crf != y_ret)
    label, _ = correct_doubted(y_crf, y_ret, ground_truth, 0.0, RNG)
    np.testing.assert_array_equal(label, y_crf)
    seen = {correct_doubted(y_crf, y_ret, ground_truth, 0.5, RNG)[0].tobytes() for _ in range(60)}
    assert len(seen) == 4  # regions change as a whole: none, either, both


def test_unknown_ground_truth_corrects_nothing():
    y_crf, y_ret = label_map('1x'), label_map('..')
    label, other = correct_doubted(y_crf, y_ret, label_map('x.'), 1.0, RNG)
    np.testing.assert_array_equal(label, y_crf)
    np.testing.assert_array_equal(other, label_map('xx'))


def test_changes_by_name():
    maps = dict(Y_crf=label_map('1..'), Y_ret=label_map('.1.'))
    ground_truth = label_map('11.')
    layout = layout_of(ground_truth, [[0, 0, 3, 1]], [1])
    changed = change_labels('grow', 1, maps, ground_truth, layout, RNG)
    np.testing.assert_array_equal(changed['Y_crf'], label_map('11.'))
    np.testing.assert_array_equal(changed['Y_ret'], maps['Y_ret'])
    np.testing.assert_array_equal(
        change_labels('fill_boxes', 1.0, maps, ground_truth, layout, RNG)['Y_crf'], label_map('111')
    )
    corrected = change_labels('correct_doubted', 1.0, maps, ground_truth, layout, RNG)
    np.testing.assert_array_equal(corrected['Y_crf'], label_map('11.'))
    np.testing.assert_array_equal(corrected['Y_ret'], label_map('xx.'))
    with pytest.raises(ValueError, match="not 'blur'"):
        change_labels('blur', 1, maps, ground_truth, layout, RNG)
