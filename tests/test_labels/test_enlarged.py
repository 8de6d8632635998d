"""Labels of a smaller copy of an image become those of the image, against ground truth that is exact."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from bana_mm.functional.mask_trust import mask_iou
from bana_mm.labels import LabelItem
from bana_mm.labels.enlarged import enlarged_maps, enlarged_masks
from bana_mm.labels.guided_border import Enlarging, GuidedMask, tiles
from bana_mm.labels.trust import TrustedMask
from bana_mm.structures import IGNORE, BoxLayout, InstanceMask, paint_masks

SIZE, FACTOR = (328, 420), 4


def ellipse(size=SIZE):
    """A textured ellipse on another texture, and its mask: the box is tight."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    mask = ((x - 210) / 150) ** 2 + ((y - 160) / 110) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 12, (*size, 3))
    waves = 25 * np.sin(x / 9 + y / 5)[..., None]
    image = np.where(mask[..., None], (170, 90, 60) + waves, (70, 110, 120) - waves) + noise
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return image.clip(0, 255).astype(np.uint8), mask, box


def copy_of(item, factor=FACTOR):
    height, width = item.layout.size
    return item.at_working_size(height * width // factor**2)


def shrunk(mask, size):
    return cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0.5


def nearest(item, small, values):
    height, width = item.layout.size
    return Enlarging(item.layout.size, small.layout.size).take(values, (0, 0, width, height))


def random_boxes(rng, size, number):
    corners = rng.integers(0, [size[1], size[0]], (number, 2, 2))
    low, high = corners.min(1), corners.max(1) + 1
    return np.concatenate([low, high], axis=1)


class TestAgainstGroundTruth:
    def test_borders_are_nearer_to_it_than_the_nearest_pixels(self):
        image, mask, box = ellipse()
        item = LabelItem.from_array(image, np.array([box], float), [3])
        small = copy_of(item)
        assert small.layout.size == (82, 105) and small.image.shape == (82, 105, 3)
        label = np.where(shrunk(mask, small.layout.size), 3, 0).astype(np.uint8)
        found = enlarged_maps(item, small, dict(a=label))['a']
        plain = mask_iou(nearest(item, small, label) == 3, mask)
        assert np.unique(found).tolist() == [0, 3]
        assert mask_iou(found == 3, mask) > 1 - 0.5 * (1 - plain)  # less than half the error is left

        left, top, right, bottom = small.layout.boxes[0].tolist()
        (one,) = enlarged_masks(item, small, [InstanceMask(label[top:bottom, left:right] == 3, score=0.5)])
        x1, y1, x2, y2 = box
        assert mask_iou(one.mask, mask[y1:y2, x1:x2]) > 1 - 0.5 * (1 - plain) and one.score == 0.5

    def test_tiles_leave_no_seams(self, monkeypatch):
        image, mask, box = ellipse()
        item = LabelItem.from_array(image, np.array([box], float), [1])
        small = copy_of(item)
        label = shrunk(mask, small.layout.size).astype(np.uint8)
        found = enlarged_maps(item, small, dict(a=label))['a']
        monkeypatch.setattr(tiles, '__defaults__', (50,))
        assert (enlarged_maps(item, small, dict(a=label))['a'] != found).mean() < 1e-4  # warpAffine rounds

    def test_away_from_borders_nothing_is_decided_anew(self):
        image, mask, box = ellipse()
        item = LabelItem.from_array(np.random.default_rng(1).integers(0, 256, image.shape, np.uint8), [box], [1])
        small = copy_of(item)
        label = shrunk(mask, small.layout.size).astype(np.uint8)
        found = enlarged_maps(item, small, dict(a=label))['a']
        around = cv2.dilate(label, np.ones((5, 5), np.uint8)) != cv2.erode(label, np.ones((5, 5), np.uint8))
        away = ~nearest(item, small, around)
        x1, y1, x2, y2 = box
        inside = np.zeros_like(mask)
        inside[y1:y2, x1:x2] = True
        assert away.mean() > 0.7
        assert (found[away] == (nearest(item, small, label) * inside)[away]).all()


class TestBoxes:
    @pytest.mark.parametrize('seed', range(5))
    def test_hold_at_the_size_of_the_image(self, seed):
        """Whatever the labels of the copy are: no class outside its boxes, no box loses all that it had."""
        rng = np.random.default_rng(seed)
        size = tuple(rng.integers(60, 200, 2).tolist())
        boxes, ignored = random_boxes(rng, size, 5), random_boxes(rng, size, 2)
        classes = rng.integers(1, 4, 5)
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        item = LabelItem.from_array(image, boxes.astype(float), classes, ignored=ignored.astype(float))
        small = copy_of(item, factor=rng.uniform(1.5, 6))
        blobs = cv2.resize(rng.random((4, 6, 5)).astype(np.float32), small.layout.size[::-1]).argmax(axis=2)
        label = np.array([0, 1, 2, 3, IGNORE], np.uint8)[blobs]
        found = enlarged_maps(item, small, dict(a=label))['a']
        regions = {index: np.zeros(size, bool) for index in range(1, 4)}
        for (x1, y1, x2, y2), index in zip(boxes, classes):
            regions[index][y1:y2, x1:x2] = True
        for index, region in regions.items():
            assert not (found == index)[~region].any()
        assert not found[~sum(regions.values()).astype(bool)].any()
        for (x1, y1, x2, y2), index, (left, top, right, bottom) in zip(boxes, classes, small.layout.boxes.tolist()):
            if (label[top:bottom, left:right] == index).any():
                assert (found[y1:y2, x1:x2] == index).any() or _covered(found, boxes, (x1, y1, x2, y2))

    def test_without_boxes_labels_go_anywhere(self):
        image, mask, _ = ellipse()
        item = LabelItem.from_array(image, np.array([[0.0, 0, 5, 5]]), [1])
        small = copy_of(item)
        label = shrunk(mask, small.layout.size).astype(np.uint8)
        found = enlarged_maps(item, small, dict(a=label), in_boxes=False)['a']
        assert mask_iou(found == 1, mask) > 0.98

    def test_of_a_pixel_keep_it(self):
        """Two of them share a pixel of the copy, of which one is seen only."""
        boxes = np.array([[80.0, 40, 81, 41], [81, 41, 82, 42], [0, 0, 1, 1]])
        image = np.full((96, 160, 3), 90, np.uint8)
        item = LabelItem.from_array(image, boxes, [1, 2, 1])
        small = copy_of(item, factor=8)
        assert (small.layout.areas == 1).all()
        masks = [InstanceMask(np.ones((1, 1), bool)) for _ in boxes]
        found = enlarged_maps(item, small, dict(a=paint_masks(small.layout, [one.mask for one in masks])))['a']
        assert {tuple(pixel) for pixel in np.argwhere(found).tolist()} == {(0, 0), (40, 80), (41, 81)}
        assert found[40, 80] == 1 and found[41, 81] == 2
        assert [one.mask.tolist() for one in enlarged_masks(item, small, masks)] == [[[True]]] * 3

    def test_whole_boxes_stay_whole(self):
        image, _, box = ellipse()
        height, width = image.shape[:2]
        item = LabelItem.from_array(image, np.array([box, [0, 0, width, height]], float), [1, 2])
        small = copy_of(item)
        wholes = [np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in small.layout.boxes.tolist()]
        first, second = enlarged_masks(item, small, [InstanceMask(wholes[0]), InstanceMask.stand_in(wholes[1].shape)])
        assert first.mask.all() and not first.unreliable.any() and second.is_stand_in
        assert first.mask.shape == (box[3] - box[1], box[2] - box[0]) and second.mask.shape == (height, width)
        label = enlarged_maps(item, small, dict(a=paint_masks(small.layout, wholes)))['a']
        expected = np.full((height, width), 2, np.uint8)
        expected[box[1] : box[3], box[0] : box[2]] = 1
        away = np.ones_like(expected, bool)  # the border between the two is decided anew
        away[box[1] - 12 : box[3] + 12, box[0] - 12 : box[2] + 12] = False
        away[box[1] + 12 : box[3] - 12, box[0] + 12 : box[2] - 12] = True
        assert (label == expected)[away].all()
        alone = LabelItem.from_array(image, np.array([box], float), [1])
        small = copy_of(alone)
        label = enlarged_maps(alone, small, dict(a=paint_masks(small.layout, wholes[:1])))['a']
        assert (label == (expected == 1)).all()


def _covered(found, boxes, box):
    """Whether other boxes that share its pixels may have taken them."""
    x1, y1, x2, y2 = box
    return any(
        tuple(other) != box and other[0] < x2 and x1 < other[2] and other[1] < y2 and y1 < other[3] for other in boxes
    )


class TestLayouts:
    @pytest.mark.parametrize('seed', range(20))
    def test_every_pixel_of_a_box_lies_in_that_of_the_copy(self, seed):
        rng = np.random.default_rng(seed)
        size = tuple(rng.integers(1, 300, 2).tolist())
        small = tuple(rng.integers(1, length + 1) for length in size)
        boxes = random_boxes(rng, size, 30)
        layout = BoxLayout.from_boxes(size, boxes, [1] * 30, boxes[:3])
        scaled = layout.scaled(small)
        assert scaled.size == small and (scaled.areas >= 1).all() and len(scaled.ignored) == 3
        enlarging = Enlarging(size, small)
        for (x1, y1, x2, y2), part in zip(boxes.tolist(), scaled.boxes.tolist()):
            left, top, right, bottom = part
            assert 0 <= left < right <= small[1] and 0 <= top < bottom <= small[0]
            rows, columns = enlarging.nearest((x1, y1, x2, y2))
            for low, high, start, end, found, length, cells in (
                (left, right, x1, x2, columns, size[1], small[1]),
                (top, bottom, y1, y2, rows, size[0], small[0]),
            ):
                assert (low <= found[0] or (start > 0 and low == 1)) and (found[-1] < high or high == cells - 1)
                assert (low == 0) >= (start == 0) and (high == cells) >= (end == length)

    def test_by_hand(self):
        layout = BoxLayout.from_boxes((80, 120), [[1, 8, 119, 9], [0, 0, 120, 80], [119, 79, 120, 80]], [1, 2, 1])
        assert layout.scaled((10, 10)).boxes.tolist() == [[1, 1, 9, 2], [0, 0, 10, 10], [9, 9, 10, 10]]
        assert torch.equal(layout.scaled((80, 120)).boxes, layout.boxes)
        with pytest.raises(ValueError, match='larger'):
            layout.scaled((81, 120))


class TestMasks:
    def test_apart_in_the_copy_they_stay_apart(self):
        image, mask, _ = ellipse()
        height, width = image.shape[:2]
        item = LabelItem.from_array(image, np.array([[0.0, 0, width, height]] * 2), [1, 1])
        small = copy_of(item)
        part = shrunk(mask, small.layout.size)
        first, second = enlarged_masks(item, small, [InstanceMask(part), InstanceMask(~part)])
        assert not (first.mask & second.mask).any() and (first.mask | second.mask).mean() > 0.99
        first, second = enlarged_masks(item, small, [InstanceMask(part), InstanceMask(part)])
        assert (first.mask == second.mask).all()

    def test_all_fields_are_kept(self):
        image, mask, box = ellipse()
        item = LabelItem.from_array(image, np.array([box], float), [1])
        small = copy_of(item)
        left, top, right, bottom = small.layout.boxes[0].tolist()
        part = shrunk(mask, small.layout.size)[top:bottom, left:right]
        doubts = np.zeros_like(part)
        doubts[:3] = True
        given = TrustedMask(part, doubts, 0.7, evidence=object(), passes=False, flipped=doubts)
        (one,) = enlarged_masks(item, small, [given])
        assert type(one) is TrustedMask and (one.score, one.passes, one.evidence) == (0.7, False, given.evidence)
        assert one.flipped.shape == one.mask.shape == (box[3] - box[1], box[2] - box[0])
        assert (one.unreliable == one.flipped).all() and one.unreliable.any(1).sum() in range(9, 13)
        (plain,) = enlarged_masks(item, small, [replace(given, flipped=None)])
        assert plain.flipped is None


def test_one_colour_says_nothing():
    """Without any colour the border lies where it did, within a pixel of the copy."""
    mask = np.zeros((20, 20), bool)
    mask[:, :10] = True
    guide = np.full((20, 20, 3), 120, np.uint8)
    guided = GuidedMask(Enlarging((100, 100), (20, 20)), guide, mask)
    score = guided.score((0, 0, 100, 100), np.full((100, 100, 3), 120, np.uint8))
    assert np.isfinite(score).all() and np.abs((score > 0.5).sum(axis=1) - 50).max() <= 1
