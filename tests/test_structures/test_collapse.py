import numpy as np
import pytest

from bana_mm.structures.collapse import CollapseCounts, CollapseRule, fills, whole_regions


def test_a_mask_that_fills_its_box():
    mask = np.ones((10, 20), bool)
    mask[0, :2] = False  # 198 of 200
    assert fills(mask) and not fills(mask, min_fill=0.995)
    mask[0, 2] = False
    assert not fills(mask)


def test_a_box_behind_another_one():
    mask = np.ones((10, 10), bool)
    mask[2:8, 2:8] = False  # taken by a smaller box
    room = mask.copy()
    assert not fills(mask) and fills(mask, room)
    assert not fills(mask & (np.arange(10) < 5), room)
    assert not fills(mask, np.zeros_like(room))  # nothing can be said


def test_planted_rectangles():
    label = np.zeros((60, 80), np.uint8)
    label[5:20, 5:30] = 3  # a rectangle
    y, x = np.mgrid[:60, :80]
    label[np.hypot(y - 40, x - 55) < 12] = 3  # a disc
    label[50:53, 5:9] = 3  # too small to tell
    label[5:20, 40:60] = 4
    assert whole_regions(label, 3) == [True, False]
    assert whole_regions(label, 4) == [True]
    assert whole_regions(label, 5) == []
    assert whole_regions(label, 3, min_pixels=10) == [True, False, True]
    label[5:8, 5:8] = 0  # 9 of 375 pixels
    assert whole_regions(label, 3) == [False, False]


def test_rectangles_at_the_edges_of_the_map():
    label = np.zeros((40, 40), np.uint8)
    label[:20, :20] = 1  # in the corner: two sides of its own
    label[30:, :] = 2  # three edges
    assert whole_regions(label, 1) == [True]
    assert whole_regions(label, 2) == []
    assert whole_regions(np.ones((40, 40), np.uint8), 1) == []


def test_collapse_by_hand():
    counts = CollapseCounts(4)
    for number in range(12):
        counts.add(1, whole=number < 7)  # 7 of 12
        counts.add(2, whole=number < 6)  # half is not more than half
        counts.add(3, empty=number < 10, whole=True)  # an empty mask is no rectangle
    for _ in range(9):
        counts.add(4, whole=True)  # too few to tell
    assert counts.counts.tolist() == [[0, 0, 0], [12, 7, 0], [12, 6, 0], [12, 2, 10], [9, 9, 0]]
    assert counts.collapsed() == {1: 'whole', 3: 'empty'}
    assert counts.collapsed(CollapseRule(min_masks=9, max_share=0.4)) == {
        1: 'whole',
        2: 'whole',
        3: 'empty',
        4: 'whole',
    }
    lines = counts.messages(['cat', 'dog', 'cow', 'car'], dict(whole='do this', empty='do that'), 'labels')
    assert lines == [
        'cat: 7 of 12 labels are whole rectangles; do this',
        'cow: 10 of 12 labels are empty; do that',
    ]
    assert (counts + counts).counts[3].tolist() == [24, 4, 20]
    assert CollapseCounts(2).collapsed(CollapseRule(min_masks=0)) == {}


def test_class_out_of_range():
    for index in (0, 3):
        with pytest.raises(ValueError, match=rf'1\.\.2, got {index}'):
            CollapseCounts(2).add(index)
