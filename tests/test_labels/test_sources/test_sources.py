import cv2
import numpy as np
import pytest

from bana_mm.labels import BoxSource, GrabCutSource, LabelItem, answers, build_label_source, label_map


def disc_image(height=60, width=80, center=(40, 30), radius=14, seed=0):
    """A red disc on noisy green, and the disc as a mask."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (40, 160, 60), dtype=np.uint8)
    cv2.circle(image, center, radius, (200, 50, 40), -1)
    disc = image[..., 0] == 200
    return (image + rng.integers(0, 20, image.shape)).astype(np.uint8), disc


def test_box_smallest_in_front_whatever_the_order():
    image = np.zeros((6, 8, 3), dtype=np.uint8)
    boxes = np.array([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 3.0], [6.0, 2.0, 8.0, 6.0]])
    labels = np.array([3, 7, 20])
    expected = np.zeros((6, 8), dtype=np.uint8)
    expected[0:4, 0:4] = 3
    expected[1:3, 1:3] = 7
    expected[2:6, 6:8] = 20
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        result = BoxSource()(image, boxes[order], labels[order])
        assert result.dtype == np.uint8
        assert np.array_equal(result, expected)


def test_box_rounds_clips_and_takes_no_boxes():
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    result = BoxSource()(image, np.array([[1.6, -3.0, 9.0, 1.4]]), np.array([2]))
    assert result.tolist() == [[0, 0, 2, 2], [0] * 4, [0] * 4, [0] * 4]
    assert BoxSource()(image, np.zeros((0, 4)), np.zeros(0, int)).max() == 0


def test_equal_boxes_the_later_in_front():
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    assert BoxSource()(image, np.array([[0.0, 0.0, 2.0, 2.0]] * 2), np.array([1, 2])).tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize(
    ('image', 'boxes', 'labels', 'message'),
    [
        (np.zeros((4, 4), np.uint8), [[0, 0, 1, 1]], [1], 'image must be'),
        (np.zeros((4, 4, 3), np.float32), [[0, 0, 1, 1]], [1], 'image must be'),
        (np.zeros((4, 4, 3), np.uint8), [[0, 0, 1, 1]], [1, 2], '1 boxes need as many classes, got 2'),
        (np.zeros((4, 4, 3), np.uint8), [[0, 0, np.nan, 1]], [1], 'finite'),
        (np.zeros((4, 4, 3), np.uint8), [[0, 0, 1, 1]], [0], r'1\.\.254'),
        (np.zeros((4, 4, 3), np.uint8), [[0, 0, 1, 1]], [255], r'1\.\.254'),
    ],
)
def test_bad_input(image, boxes, labels, message):
    with pytest.raises(ValueError, match=message):
        BoxSource()(image, np.array(boxes, dtype=float), np.array(labels))


def test_grabcut_finds_a_disc_in_its_box():
    image, disc = disc_image()
    result = GrabCutSource()(image, np.array([[24.0, 14.0, 57.0, 47.0]]), np.array([5]))
    assert set(np.unique(result)) == {0, 5}
    overlap = ((result == 5) & disc).sum() / ((result == 5) | disc).sum()
    box = 33 * 33
    assert overlap > 0.95 > disc.sum() / box  # far better than the box itself


def test_grabcut_does_not_depend_on_what_ran_before():
    image = np.random.default_rng(1).integers(0, 255, (40, 50, 3), dtype=np.uint8)  # hard: noise only
    boxes, labels = np.array([[5.0, 5.0, 30.0, 30.0], [20.0, 10.0, 45.0, 38.0]]), np.array([1, 2])
    first = GrabCutSource()(image, boxes, labels)
    cv2.setRNGSeed(99)
    assert np.array_equal(GrabCutSource()(image, boxes, labels), first)


@pytest.mark.parametrize('box', [[0, 0, 80, 60], [0, 0, 80, 59.6], [3, 3, 4, 4], [3, 3, 6, 6]])
def test_grabcut_takes_the_whole_box_where_it_has_no_chance(box):
    image, _ = disc_image()
    expected = BoxSource()(image, np.array([box], dtype=float), np.array([1]))
    assert np.array_equal(GrabCutSource()(image, np.array([box], dtype=float), np.array([1])), expected)


def test_grabcut_takes_the_whole_box_where_it_finds_nothing():
    image = np.full((40, 40, 3), 90, dtype=np.uint8)  # nothing to tell apart
    result = GrabCutSource()(image, np.array([[10.0, 10.0, 30.0, 30.0]]), np.array([1]))
    assert (result == 1).sum() == 400


def test_grabcut_small_object_stays_in_front_of_a_large_one():
    image, disc = disc_image(radius=25, height=80)
    cv2.rectangle(image, (36, 26), (43, 33), (20, 20, 220), -1)
    boxes = np.array([[35.0, 25.0, 45.0, 35.0], [14.0, 4.0, 67.0, 57.0]])
    result = GrabCutSource()(image, boxes, np.array([2, 1]))
    assert (result[27:33, 37:43] == 2).all()
    assert (result == 1).sum() > 0.8 * (disc.sum() - 64)


def test_build_by_name_and_config():
    assert type(build_label_source('box')) is BoxSource
    source = build_label_source(dict(type='GrabCutSource', iterations=2))
    assert (type(source), source.iterations) == (GrabCutSource, 2)
    with pytest.raises(KeyError, match="no label source is called 'lasso'; there are .*bana_ret, box, .*grabcut"):
        build_label_source('lasso')


def test_what_only_ignored_boxes_cover_is_ignored():
    image = np.zeros((3, 6, 3), dtype=np.uint8)
    instances = [
        dict(bbox=[0, 0, 3, 2], bbox_label=4, ignore_flag=0),
        dict(bbox=[2, 1, 5, 3], bbox_label=1, ignore_flag=1),
    ]
    expected = [[5, 5, 5, 0, 0, 0], [5, 5, 5, 255, 255, 0], [0, 0, 255, 255, 255, 0]]
    item = LabelItem.from_info(dict(img_path='a.png', instances=instances), image)
    label = label_map(BoxSource(), item)
    assert label.dtype == np.uint8 and label.tolist() == expected
    ((one,),) = answers(BoxSource(), [item], 'masks')  # masks know of no ignored boxes
    assert one.mask.all() and not one.unreliable.any()
    assert label_map(BoxSource(), LabelItem.from_info(dict(img_path='a.png', instances=[]), image)).max() == 0


def test_masks_of_boxes_are_what_the_label_map_is_painted_with():
    image, _ = disc_image()
    boxes, classes = np.array([[24.0, 14.0, 57.0, 47.0], [30.0, 20.0, 38.0, 28.0]]), np.array([5, 2])
    item = LabelItem.from_array(image, boxes, classes)
    for name in ('box', 'grabcut', 'box_crf'):
        source = build_label_source(name)
        (masks,), (maps,) = answers(source, [item], 'masks'), answers(source, [item], 'maps')
        assert [one.mask.shape for one in masks] == [(33, 33), (8, 8)] and list(maps) == [name] == [*source.map_names]
        assert all(one.mask.any() and not one.unreliable.any() and one.score == 1 for one in masks)
        expected = np.zeros(image.shape[:2], np.uint8)
        expected[14:47, 24:57][masks[0].mask] = 5
        expected[20:28, 30:38][masks[1].mask] = 2
        assert np.array_equal(maps[name], expected)


def test_ignored_boxes_of_a_call():
    image = np.zeros((1, 5, 3), dtype=np.uint8)
    result = BoxSource()(image, np.array([[0.0, 0, 2, 1]]), np.array([3]), ignored=np.array([[1.4, 0, 4, 1]]))
    assert result.tolist() == [[3, 3, 255, 255, 0]]
    with pytest.raises(ValueError, match='finite'):
        BoxSource()(image, np.zeros((0, 4)), np.zeros(0, int), ignored=np.array([[0, 0, np.inf, 1]]))


def test_parameters_and_forms():
    assert build_label_source('grabcut', iterations=2).describe() == dict(
        type='grabcut', iterations=2, min_pixels=16, seed=0
    )
    for text, form in (('grabcut:3', 'grabcut'), ('files:', 'files:PATH'), ('bana_crf:a.py', 'CONFIG:CHECKPOINT')):
        with pytest.raises(ValueError, match=f'{text!r}: must have the form .*{form}$'):
            build_label_source(text)
