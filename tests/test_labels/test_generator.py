import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bana_mm.labels.generator import LabelGenerator
from bana_mm.labels.unaries import background_unary, box_scores
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import activation_maps
from benchmarks.slow.labels import image_size_retrieval, image_size_unaries

CHANNELS, CLASSES, GRID, SIZE = 12, 4, (6, 9), (45, 66)


def upsampled_cam(feats, weight):
    cam = (weight @ feats.flatten(1)).view(1, 1, *GRID)
    return F.interpolate(cam, SIZE, mode='bilinear', align_corners=True)[0, 0].relu()


@pytest.fixture
def feats():
    return torch.rand(CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weight():
    return torch.randn(CLASSES + 1, CHANNELS, generator=torch.Generator().manual_seed(1))


BOXES, LABELS = [[3, 5, 30, 40], [20, 10, 60, 30], [40, 33, 50, 42]], [2, 0, 2]
IMAGE = np.zeros((*SIZE, 3), dtype=np.uint8)


def views_of(feats):
    """One view or several with nothing but the classifier's own features."""
    return [dict(last=one) for one in (feats if isinstance(feats, list) else [feats])]


def prepare(generator, feats, boxes, labels, ignored=None):
    """The first step; labels are those of the frameworks, 0..L-1."""
    layout = BoxLayout.from_boxes(SIZE, boxes, [label + 1 for label in labels], ignored)
    return generator.prepare(views_of(feats), IMAGE, layout)


def maps_of(feats, layout, weight, recipe=None):
    return activation_maps(views_of(feats), layout, weight, LabelRecipe.from_cfg(recipe))


def test_same_as_the_image_size_computation(feats, weight):
    generator = LabelGenerator(weight)
    task = prepare(generator, feats, BOXES, LABELS)
    assert task.layout.classes == (0, 1, 3)
    expected = image_size_unaries(feats.double(), weight.double(), SIZE, BOXES, LABELS)
    assert task.probability.dtype == np.float32
    np.testing.assert_allclose(task.probability, expected, atol=2e-6)

    y_crf = task.layout.label_map(torch.from_numpy(task.probability))
    assert set(np.unique(y_crf)) == {0, 1, 3}
    expected = image_size_retrieval(feats.double(), weight.double(), SIZE, BOXES, LABELS, y_crf)
    y_ret = generator.retrieve(views_of(feats), task.layout, y_crf)
    assert y_ret.dtype == np.uint8 and set(np.unique(y_ret)) == {0, 1, 3}
    assert (y_ret == expected).mean() > 0.9995  # float32 ties


def test_vanished_class_takes_its_classifier_weight(feats, weight):
    generator = LabelGenerator(weight)
    task = prepare(generator, feats, BOXES, LABELS)
    y_crf = task.layout.label_map(torch.from_numpy(task.probability))
    y_crf[y_crf == 3] = 0
    expected = image_size_retrieval(feats.double(), weight.double(), SIZE, BOXES, LABELS, y_crf)
    assert (generator.retrieve(views_of(feats), task.layout, y_crf) == expected).mean() > 0.9995


def test_half_precision_features_are_computed_in_float32(feats, weight):
    generator = LabelGenerator(weight)
    half = feats.bfloat16()
    a, b = (prepare(generator, f, BOXES, LABELS) for f in (half, half.float()))
    np.testing.assert_array_equal(a.probability, b.probability)


def test_no_boxes(feats, weight):
    generator = LabelGenerator(weight)
    task = prepare(generator, feats, [], [], [[0, 0, 10, 10]])
    y_crf = task.run()
    assert (y_crf == 255).sum() == 100 and (y_crf == 0).sum() == SIZE[0] * SIZE[1] - 100
    np.testing.assert_array_equal(generator.retrieve(views_of(feats), task.layout, y_crf), y_crf)


def test_box_that_covers_the_image_has_no_background(feats, weight):
    """u_0 = 0 instead of NaN: two rows at every pixel, softmax of 0 and CAM / max."""
    weight = weight.abs()
    generator = LabelGenerator(weight)
    task = prepare(generator, feats, [[0, 0, 66, 45]], [1])
    cam = upsampled_cam(feats, weight[2])
    np.testing.assert_allclose(task.probability[1], torch.sigmoid(cam / cam.max()), atol=1e-6)
    y_ret = generator.retrieve(views_of(feats), task.layout, np.full(SIZE, 2, dtype=np.uint8))
    assert set(np.unique(y_ret)) <= {0, 2}


def test_one_pixel_box(feats, weight):
    task = prepare(LabelGenerator(weight), feats, [[7, 8, 7.2, 8.1]], [1])
    inside = task.probability[1] > 0
    assert np.argwhere(inside).tolist() == [[8, 7]]
    assert (task.probability[0][~inside] == 1).all()


def test_empty_cam_is_marked_and_its_box_never_comes_out_empty(feats, weight):
    weight[3] = -1  # with positive features: a CAM of zero
    boxes, labels = [[30, 20, 32, 23], [3, 5, 20, 40]], [2, 0]
    generator = LabelGenerator(weight, dict(restore='unseen'))
    task = prepare(generator, feats, boxes, labels)
    assert task.restore == (True, False)
    assert math.isclose(task.probability[2, 20:23, 30:32].max(), math.e / (math.e + 2), rel_tol=1e-5)
    y_crf = task.run()  # the CRF on a constant image drowns so small a box
    assert (y_crf[20:23, 30:32] == 3).any()
    restore = [LabelGenerator(weight, dict(restore=r)) for r in ('none', 'all')]
    assert [prepare(g, feats, boxes, labels).restore for g in restore] == [(False, False), (True, True)]
    assert prepare(LabelGenerator(weight), feats, boxes, labels).restore == (True, True)


def test_ignored_box_is_no_background(feats, weight):
    ignored = [[45, 5, 60, 40]]
    generator = LabelGenerator(weight, dict(threshold=None))
    plain, task = (prepare(generator, feats, BOXES[:1], LABELS[:1], i) for i in (None, ignored))
    assert (task.probability[:, 20, 50] == 0.5).all() and plain.probability[0, 20, 50] == 1
    assert not np.allclose(task.probability[:, 10:30, 10:25], plain.probability[:, 10:30, 10:25])  # another query
    y_ret = generator.retrieve(views_of(feats), task.layout, np.zeros(SIZE, dtype=np.uint8))
    assert (y_ret[5:40, 45:60] == 255).all() and (y_ret == 255).sum() == 35 * 15


def test_recipe_parts_take_effect(feats, weight):
    weight[0] = weight[0].abs()

    def inside(**recipe):
        return prepare(LabelGenerator(weight, recipe), feats, BOXES[:1], LABELS[:1]).probability[0, 5:40, 3:30]

    image_0, image_c = (upsampled_cam(feats, weight[row]) for row in (0, 3))
    box_0, box_c = image_0[5:40, 3:30], image_c[5:40, 3:30]
    u_0, u_c = box_0 / image_0.max(), box_c / box_c.max()
    np.testing.assert_allclose(inside(background='cam'), torch.sigmoid(u_0 - u_c), atol=1e-5)
    np.testing.assert_allclose(inside(background='cam', temperature=0.1), torch.sigmoid((u_0 - u_c) / 0.1), atol=1e-4)
    np.testing.assert_allclose(inside(background='cam', temperature=None), u_0 / (u_0 + u_c), atol=1e-4)
    u_c = box_c / image_c.max()
    np.testing.assert_allclose(inside(background='none', normalise='image'), torch.sigmoid(-u_c), atol=1e-5)
    soft = inside(threshold=None)
    assert (soft >= inside() - 1e-6).all() and soft.mean() > inside().mean()
    np.testing.assert_array_equal(inside(threshold=2e-38, threshold_mode='absolute'), soft)
    assert not np.allclose(inside(threshold=None, grid_size=3), soft)
    assert not np.allclose(inside(threshold=None, align_corners=False), soft)


def test_one_cell_feature_map(weight):
    generator = LabelGenerator(weight.abs())
    task = prepare(generator, torch.rand(CHANNELS, 1, 1) + 0.1, [[10, 10, 30, 30]], [0])
    np.testing.assert_allclose(task.probability[:, 10:30, 10:30], 0.5)  # A and CAM are both 1 everywhere
    y_ret = generator.retrieve(views_of(torch.rand(CHANNELS, 1, 1)), task.layout, np.zeros(SIZE, dtype=np.uint8))
    assert y_ret.shape == SIZE


def test_tasks_travel(feats, weight):
    task = prepare(LabelGenerator(weight), feats, BOXES, LABELS)
    other = pickle.loads(pickle.dumps(task))
    assert other.restore == task.restore and np.array_equal(other.run(), task.run())


def test_both_maps_at_once(feats, weight):
    generator = LabelGenerator(weight)
    task = prepare(generator, feats, BOXES, LABELS)
    y_crf = task.run()
    both = generator.finish(views_of(feats), task.layout, y_crf)
    assert list(both) == ['Y_crf', 'Y_ret'] and np.array_equal(both['Y_crf'], y_crf)
    assert np.array_equal(both['Y_ret'], generator.retrieve(views_of(feats), task.layout, y_crf))
    (on_device,) = generator.run_on_device([task])
    assert np.array_equal(on_device, y_crf)


def test_bad_input(feats, weight):
    generator = LabelGenerator(weight)
    with pytest.raises(ValueError, match=r'feats must have shape \(12, h, w\).*\(5, 6, 9\)'):
        prepare(generator, feats[:5], BOXES, LABELS)
    with pytest.raises(ValueError, match='classes of boxes must lie in 1..4, got 5'):
        prepare(generator, feats, BOXES, [0, 1, 4])
    with pytest.raises(ValueError, match='NaN'):
        prepare(generator, feats / 0 * 0, BOXES, LABELS)
    with pytest.raises(ValueError, match='weight'):
        LabelGenerator(torch.zeros(256, 3))


def test_views_are_averaged_and_y_ret_takes_the_first(feats, weight):
    other = torch.rand(CHANNELS, 4, 7, generator=torch.Generator().manual_seed(2))
    generator = LabelGenerator(weight, dict(threshold=None))
    tasks = [prepare(generator, views, BOXES, LABELS) for views in (feats, [other], [feats, other])]
    layout = tasks[0].layout
    maps = [maps_of(views, layout, weight) for views in (feats, other, [feats, other])]
    torch.testing.assert_close(maps[2].attention, (maps[0].attention + maps[1].attention) / 2)
    torch.testing.assert_close(maps[2].activation, (maps[0].activation + maps[1].activation) / 2)
    assert not np.allclose(tasks[2].probability, tasks[0].probability)
    y_crf = tasks[0].run()
    np.testing.assert_array_equal(
        generator.retrieve(views_of([feats, other]), layout, y_crf), generator.retrieve(views_of(feats), layout, y_crf)
    )


def test_scores_and_background_of_the_stretched_attention(feats, weight):
    weight[0] = weight[0].abs()
    x1, y1, x2, y2 = BOXES[0]
    layout = prepare(LabelGenerator(weight), feats, BOXES[:1], LABELS[:1]).layout
    maps = maps_of(feats, layout, weight)
    inside = maps.attention[y1:y2, x1:x2]
    stretched = (inside - inside.min()) / (inside.max() - inside.min())
    cam = maps.activation[1, y1:y2, x1:x2]
    for score, expected in (('attention', 1 - stretched), ('mean', (1 - stretched + cam / cam.max()) / 2)):
        (actual,), unseen = box_scores(maps, layout, LabelRecipe(score=score))
        torch.testing.assert_close(actual, expected)
        assert unseen.tolist() == [False]
    maps.activation[1] = 0
    (actual,), unseen = box_scores(maps, layout, LabelRecipe(score='mean'))
    torch.testing.assert_close(actual, 1 - stretched)
    assert unseen.tolist() == [True]

    recipe = dict(threshold=0.8, threshold_mode='box')
    hard = background_unary(maps, layout, LabelRecipe(**recipe))[y1:y2, x1:x2]
    assert torch.equal(hard, (stretched >= 0.8).float())
    cam = maps.activation[0] / maps.activation[0].max()
    both = background_unary(maps, layout, LabelRecipe(**recipe, background='maximum'))[y1:y2, x1:x2]
    torch.testing.assert_close(both, torch.maximum(hard, cam[y1:y2, x1:x2]))
    cam = maps.activation[0, y1:y2, x1:x2]
    soft = background_unary(maps, layout, LabelRecipe(background='cam', background_range='box'))
    torch.testing.assert_close(soft[y1:y2, x1:x2], (cam - cam.min()) / (cam.max() - cam.min()))


def test_background_of_boxes_whose_class_is_not_recognised(feats, weight):
    """The first box's class exceeds the background nowhere; that of the second, which overlaps it, does everywhere."""
    layout = prepare(LabelGenerator(weight), feats, BOXES[:2], [1, 0]).layout
    maps = maps_of(feats, layout, weight)
    maps.activation[0], maps.activation[1], maps.activation[2] = 2.0, 3.0, 1.0
    maps.activation[0, 0, 0] = 4.0
    score = background_unary(maps, layout, LabelRecipe(background='cam', min_recognised=0.5))
    expected = torch.full(SIZE, 0.5)
    expected[0, 0] = 1
    (x1, y1, x2, y2), (u1, v1, u2, v2) = BOXES[:2]
    expected[y1:y2, x1:x2] = 0
    expected[v1:v2, u1:u2] = 0.5
    torch.testing.assert_close(score, expected)
    assert (background_unary(maps, layout, LabelRecipe(background='cam')) >= 0.5).all()


def test_a_crf_label_for_each_instance(feats, weight):
    """Two boxes of one class and one of another: three rows, each with its own box's score."""
    weight = weight.abs()
    recipe = LabelRecipe(crf_labels='instance', background='none')
    generator = LabelGenerator(weight, recipe)
    task = prepare(generator, feats, BOXES, LABELS)
    by_class = task.layout.by_class()
    assert task.layout.classes == (0, 3, 1, 3) and task.layout.rows == (0, 1, 2)
    assert by_class.classes == (0, 1, 3) and by_class.rows == (1, 0, 1)
    scores, _ = box_scores(maps_of(feats, by_class, weight, recipe), by_class, recipe)
    unary = np.zeros((4, *SIZE))
    for row, (x1, y1, x2, y2) in enumerate(BOXES):
        unary[row + 1, y1:y2, x1:x2] = scores[row]
    x1, y1, x2, y2 = BOXES[0]
    unary = np.exp(unary[:, y1:y2, x1:x2])
    np.testing.assert_allclose(task.probability[:, y1:y2, x1:x2], unary / unary.sum(axis=0), rtol=1e-5)
    y_crf = task.run()
    assert set(np.unique(y_crf)) <= {0, 1, 3}
    y_ret = generator.retrieve(views_of(feats), task.layout, y_crf)
    per_class = prepare(LabelGenerator(weight), feats, BOXES, LABELS)
    np.testing.assert_array_equal(y_ret, generator.retrieve(views_of(feats), per_class.layout, y_crf))
