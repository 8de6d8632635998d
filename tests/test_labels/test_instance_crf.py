import pickle

import numpy as np
import pytest

from bana_mm.labels.instance_crf import InstanceCrop, InstanceTask, crf_instances

CRF = dict(bilateral=(4, 55, 3), gaussian=(3, 3), iterations=10, backend='pydensecrf')


def two_colours(size, objects):
    """A grey image with blue rectangles, xyxy."""
    image = np.full((*size, 3), 120, np.uint8)
    for x1, y1, x2, y2 in objects:
        image[y1:y2, x1:x2] = (20, 30, 220)
    return image


def even(box, value=0.6):
    return np.full((box[3] - box[1], box[2] - box[0]), value, np.float32)


def test_cut_keeps_box_and_margin():
    image = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype(np.uint8)
    probability = np.arange(12, dtype=np.float32).reshape(3, 4) / 16
    crop = InstanceCrop.cut(image, (10, 2, 14, 5), probability, margin=0.5, min_margin=3, max_scale=1)
    assert crop.size == (8, 10) and crop.box == (3, 2, 7, 5)  # three pixels around, but for the image's upper edge
    assert np.array_equal(crop.image, image[0:8, 7:17])
    assert np.array_equal(crop.probability[2:5, 3:7], probability) and crop.probability.sum() == probability.sum()
    assert np.array_equal(crop.in_box(crop.probability), probability)
    assert InstanceCrop.cut(image, (10, 2, 14, 5), probability, margin=1.0, min_margin=3).size == (9, 12)


def test_small_boxes_are_enlarged():
    crop = InstanceCrop.cut(
        np.zeros((60, 60, 3), np.uint8), (20, 20, 30, 28), even((20, 20, 30, 28), 0.75), max_scale=4
    )
    assert crop.size == (24, 26) and crop.image.shape == (96, 104, 3)  # four times at most
    assert np.allclose(crop.in_box(crop.probability.astype(np.float32))[1:-1, 1:-1], 0.75)
    crop = InstanceCrop.cut(np.zeros((60, 60, 3), np.uint8), (10, 20, 50, 28), even((10, 20, 50, 28)), side=60)
    assert crop.size == (24, 56) and crop.image.shape == (36, 84, 3)


def test_large_boxes_are_scaled_down():
    box = (50, 20, 450, 220)
    crop = InstanceCrop.cut(np.zeros((300, 500, 3), np.uint8), box, even(box, 0.75), margin=0.1, side=100)
    assert crop.size == (260, 480) and crop.box == (40, 20, 440, 220)
    assert crop.image.shape == (65, 120, 3) and crop.probability.shape == (65, 120)
    back = crop.in_box(crop.probability.astype(np.float32))
    assert back.shape == (200, 400)
    assert np.allclose(back[5:-5, 5:-5], 0.75)


@pytest.mark.parametrize('side', [80, 40])
def test_the_object_is_found_in_its_box(side):
    box, target = (20, 20, 100, 90), (34, 32, 88, 78)
    image = two_colours((120, 130), [target])
    (mask,) = crf_instances(InstanceTask([InstanceCrop.cut(image, box, even(box), side=side)], CRF))
    x1, y1, x2, y2 = np.subtract(target, [20, 20, 20, 20])
    expected = np.zeros((70, 80), bool)
    expected[y1:y2, x1:x2] = True
    assert (mask.mask & expected).sum() / (mask.mask | expected).sum() > (0.99 if side == 80 else 0.9)
    assert 0.9 < mask.score <= 1


def test_no_box_stays_empty():
    image = two_colours((60, 60), [])  # nothing to see: the CRF takes the certain background for all of it
    box = (20, 20, 30, 30)
    faint = even(box, 0.1)
    faint[4, 5] = 0.2
    (mask,) = crf_instances(InstanceTask([InstanceCrop.cut(image, box, faint, max_scale=1)], CRF))
    assert np.argwhere(mask.mask).tolist() == [[4, 5]]  # most likely there
    likely = even(box, 0.1)
    likely[4:6, 5] = 0.55, 0.6
    (mask,) = crf_instances(InstanceTask([InstanceCrop.cut(image, box, likely, max_scale=1)], CRF))
    assert np.argwhere(mask.mask).tolist() == [[4, 5], [5, 5]]  # more likely than the background there
    assert mask.score < 0.5


@pytest.mark.parametrize('box', [(0, 0, 40, 30), (39, 29, 40, 30), (0, 0, 1, 30)])
def test_boxes_at_the_edges(box):
    crop = InstanceCrop.cut(two_colours((30, 40), []), box, even(box))
    (mask,) = crf_instances(InstanceTask([crop], CRF))
    assert mask.mask.shape == (box[3] - box[1], box[2] - box[0]) and mask.mask.any()


def test_boxes_do_not_influence_each_other():
    image = two_colours((120, 130), [(34, 32, 88, 78)])
    first, second = (20, 20, 100, 90), (60, 30, 110, 100)
    both = crf_instances(InstanceTask([InstanceCrop.cut(image, box, even(box)) for box in (first, second)], CRF))
    (alone,) = crf_instances(InstanceTask([InstanceCrop.cut(image, second, even(second))], CRF))
    assert np.array_equal(both[1].mask, alone.mask) and both[1].score == alone.score
    assert crf_instances(InstanceTask([], CRF)) == []


def test_all_is_reliable_so_far_and_tasks_travel():
    box = (20, 20, 100, 90)
    task = InstanceTask([InstanceCrop.cut(two_colours((120, 130), [(34, 32, 88, 78)]), box, even(box), side=40)], CRF)
    (mask,), (other,) = task.run(), pickle.loads(pickle.dumps(task)).run()
    assert not mask.unreliable.any() and mask.unreliable.shape == mask.mask.shape
    assert np.array_equal(mask.mask, other.mask) and mask.score == other.score
