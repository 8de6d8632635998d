"""Colour jitter by hand, and small boxes."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

from bana_mm.datasets.transforms import ColorJitter, IgnoreSmallBoxes


def fixed(jitter, *factors):
    jitter._factors = lambda: list(factors)
    return jitter


def test_color_jitter_by_hand():
    image = np.array([[[10, 20, 30], [100, 50, 200]]], np.uint8)  # BGR
    # brightness multiplies and saturates
    out = fixed(ColorJitter(), 1.5, 1, 1)(dict(img=image.copy()))['img']
    assert out.tolist() == [[[15, 30, 45], [150, 75, 255]]]
    # contrast moves values away from the mean grey: grey = .114 B + .587 G + .299 R = 22 and 101 -> mean 62
    out = fixed(ColorJitter(), 1, 0, 1)(dict(img=image.copy()))['img']
    assert np.unique(out).tolist() == [62]
    # saturation 0 leaves each pixel's grey
    out = fixed(ColorJitter(), 1, 1, 0)(dict(img=image.copy()))['img']
    assert np.abs(out[0] - np.array([[22] * 3, [101] * 3], float)).max() <= 1
    # factors of one change nothing
    assert np.array_equal(fixed(ColorJitter(), 1, 1, 1)(dict(img=image.copy()))['img'], image)


def test_color_jitter_draws_from_its_ranges():
    np.random.seed(0)
    jitter = ColorJitter(0.5, 0.2, 2.0)
    draws = np.array([jitter._factors() for _ in range(300)])
    assert draws.min(0) == pytest.approx([0.5, 0.8, 0.0], abs=0.05)
    assert draws.max(0) == pytest.approx([1.5, 1.2, 3.0], abs=0.05)
    for name in ('contrast', 'hue'):
        with pytest.raises(ValueError, match=f'{name} must not be negative'):
            ColorJitter(**{name: -1})


def test_color_jitter_turns_hues():
    image = np.array([[[0, 0, 240], [90, 90, 90]]], np.uint8)  # red and grey, BGR
    jitter = fixed(ColorJitter(0, 0, 0, hue=0.5), 1, 1, 1)
    draws = [jitter._turn() for _ in range(100)]
    assert -0.5 <= min(draws) < -0.4 and 0.4 < max(draws) <= 0.5
    for turn, red in ((1 / 3, [0, 240, 0]), (-1 / 3, [240, 0, 0])):  # to green and to blue
        jitter._turn = lambda turn=turn: turn
        turned = jitter(dict(img=image.copy()))['img'].astype(int)
        assert np.abs(turned - [[red, [90, 90, 90]]]).max() <= 6


def test_small_boxes_are_ignored_not_dropped():
    boxes = HorizontalBoxes(
        torch.tensor([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 0.5, 9.0], [2.0, 2.0, 6.0, 2.9], [1.0, 1.0, 9.0, 9.0]])
    )
    results = dict(gt_bboxes=boxes, gt_ignore_flags=np.array([False, False, False, True]))
    results = IgnoreSmallBoxes(min_size=1.0)(results)
    assert results['gt_ignore_flags'].tolist() == [False, True, True, True]
    assert len(results['gt_bboxes']) == 4
