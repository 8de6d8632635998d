import numpy as np
import pytest

from bana_mm.structures import (
    BoxLayout,
    InstanceMask,
    cut_masks,
    paint_instances,
    paint_masks,
    smallest_in_front,
)


def layout_of(size, *boxes):
    """Boxes as (class, x1, y1, x2, y2)."""
    return BoxLayout.from_boxes(size, [box[1:] for box in boxes], [box[0] for box in boxes])


def full(layout):
    return [np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in layout.boxes.tolist()]


def test_nothing_is_unreliable_unless_said():
    one = InstanceMask(np.array([[True, False]]))
    assert one.unreliable.tolist() == [[False, False]] and one.score == 1
    other = InstanceMask(np.array([[True, False]]))
    other.unreliable[:] = True
    assert not one.unreliable.any()


class TestPaint:
    @pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_smallest_in_front_whatever_the_order(self, order):
        boxes = [(3, 0, 0, 4, 3), (7, 1, 1, 3, 3), (9, 4, 2, 5, 3)]  # the last of one pixel
        masks = [
            np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]], bool),
            np.array([[1, 0], [0, 1]], bool),
            np.array([[True]]),
        ]
        layout = layout_of((3, 5), *(boxes[k] for k in order))
        assert paint_masks(layout, [masks[k] for k in order]).tolist() == [
            [3, 3, 3, 3, 0],
            [3, 7, 3, 0, 0],
            [0, 3, 7, 3, 9],
        ]

    def test_of_equal_boxes_the_later_is_in_front(self):
        layout = layout_of((1, 3), (1, 0, 0, 2, 1), (2, 1, 0, 3, 1))
        assert paint_masks(layout, full(layout)).tolist() == [[1, 2, 2]]

    def test_no_boxes(self):
        label = paint_masks(layout_of((2, 3)), [])
        assert label.dtype == np.uint8 and label.tolist() == [[0, 0, 0], [0, 0, 0]]


class TestCut:
    def test_a_pixel_is_of_the_smallest_box_of_its_class_around_it(self):
        layout = layout_of((3, 5), (1, 0, 0, 5, 3), (1, 1, 1, 3, 3), (2, 2, 0, 5, 2))
        label = np.array([[1, 1, 2, 255, 2], [1, 1, 1, 0, 2], [0, 1, 1, 1, 1]], np.uint8)
        large, small, other = cut_masks(layout, label)
        assert large.mask.astype(int).tolist() == [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1]]
        assert small.mask.astype(int).tolist() == [[1, 1], [1, 1]]
        assert other.mask.astype(int).tolist() == [[1, 0, 1], [0, 0, 1]]
        assert large.unreliable.astype(int).tolist() == [[0, 0, 0, 1, 0], [0] * 5, [0] * 5]
        assert not small.unreliable.any()
        assert other.unreliable.astype(int).tolist() == [[0, 1, 0], [0, 0, 0]]
        assert [one.score for one in (large, small, other)] == [1, 1, 1]

    def test_overlapping_boxes_of_one_class_and_one_size(self):
        layout = layout_of((1, 3), (1, 0, 0, 2, 1), (1, 1, 0, 3, 1))
        first, second = cut_masks(layout, np.array([[1, 1, 1]], np.uint8))
        assert first.mask.tolist() == [[True, False]] and second.mask.tolist() == [[True, True]]

    def test_a_box_without_a_pixel_of_its_own_is_whole_and_unreliable(self):
        # the first box's pixels are all in smaller ones; the last names a class that the map lacks
        layout = layout_of((1, 4), (1, 0, 0, 3, 1), (1, 0, 0, 2, 1), (1, 2, 0, 3, 1), (5, 3, 0, 4, 1))
        masks = cut_masks(layout, np.array([[1, 1, 1, 0]], np.uint8))
        assert [one.mask.all() for one in masks] == [True] * 4
        assert [one.unreliable.all() for one in masks] == [True, False, False, True]
        assert [one.score for one in masks] == [0, 1, 1, 0]

    def test_all_ignored(self):
        (one,) = cut_masks(layout_of((2, 2), (4, 0, 0, 2, 1)), np.full((2, 2), 255, np.uint8))
        assert one.mask.tolist() == one.unreliable.tolist() == [[True, True]] and one.score == 0

    def test_one_pixel_boxes(self):
        layout = layout_of((2, 2), (1, 0, 0, 1, 1), (2, 0, 0, 1, 1))
        first, second = cut_masks(layout, np.array([[1, 0], [0, 0]], np.uint8))
        assert first.mask.tolist() == [[True]] and not first.unreliable.any()
        assert second.mask.tolist() == second.unreliable.tolist() == [[True]]

    def test_no_boxes_and_another_size(self):
        assert cut_masks(layout_of((2, 3)), np.ones((2, 3), np.uint8)) == []
        with pytest.raises(ValueError, match=r'label map has shape \(3, 2\), but its image \(2, 3\)'):
            cut_masks(layout_of((2, 3)), np.ones((3, 2), np.uint8))

    def test_painted_boxes_come_back(self):
        """Where no mask is covered whole, of boxes of different classes or apart, cutting undoes painting."""
        rng = np.random.default_rng(0)
        layout = layout_of((20, 30), (1, 0, 0, 18, 20), (2, 5, 5, 15, 15), (1, 20, 3, 30, 18), (3, 8, 8, 12, 11))
        masks = [rng.random(one.shape) < 0.7 for one in full(layout)]
        label = paint_masks(layout, masks)
        found = cut_masks(layout, label)
        for one, visible in zip(found, smallest_in_front(layout, masks)):
            assert np.array_equal(one.mask, visible)
        assert np.array_equal(paint_masks(layout, [one.mask for one in found]), label)


class TestFront:
    def test_smaller_boxes_are_in_front_but_leave_no_mask_empty(self):
        layout = layout_of((33, 41), (1, 0, 0, 10, 10), (1, 2, 2, 6, 6), (2, 2, 2, 6, 6), (1, 3, 3, 5, 5))
        given = full(layout)
        large, first, second, small = smallest_in_front(layout, given)
        assert small.all()
        assert second.sum() == 16 - 4 and not second[1:3, 1:3].any()
        assert first.all()  # all of it is taken: it keeps what it had
        assert large.sum() == 100 - 16 and not large[2:6, 2:6].any()
        assert all(mask.all() for mask in given)  # as they were

    def test_only_pixels_of_masks_are_taken(self):
        layout = layout_of((1, 4), (1, 0, 0, 4, 1), (2, 1, 0, 3, 1))
        large, small = smallest_in_front(layout, [np.ones((1, 4), bool), np.array([[False, True]])])
        assert large.tolist() == [[True, True, False, True]] and small.tolist() == [[False, True]]

    def test_one_pixel_in_front_of_one_pixel(self):
        layout = layout_of((1, 1), (1, 0, 0, 1, 1), (2, 0, 0, 1, 1))
        assert [mask.tolist() for mask in smallest_in_front(layout, full(layout))] == [[[True]], [[True]]]

    def test_no_boxes(self):
        assert smallest_in_front(layout_of((2, 3)), []) == []


def test_whole_masks_the_smallest_in_front():
    masks = np.zeros((3, 2, 4), bool)
    masks[0, 0, 1], masks[1], masks[2, 0, 1:3] = True, True, True
    assert paint_instances(masks, [4, 5, 6]).tolist() == [[5, 4, 6, 5], [5, 5, 5, 5]]
    assert paint_instances(masks[:2, :, :2][[1, 1]], [4, 5]).tolist() == [[5, 5], [5, 5]]  # of two alike the later
    assert paint_instances(masks[:0], []).tolist() == [[0] * 4] * 2
