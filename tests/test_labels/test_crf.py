import pickle

import numpy as np
import pytest
import torch

from bana_mm.labels import crf
from bana_mm.labels.crf import LabelTask, crf_labels
from bana_mm.structures import BoxLayout


def layout_of(boxes, classes, ignored=None, size=(6, 8)):
    return BoxLayout.from_boxes(size, boxes, classes, ignored)


@pytest.fixture
def crf_keeps(monkeypatch):
    """A CRF that returns its input, or the posterior given to it."""
    calls = []

    def install(posterior=None):
        def dense_crf(image, probability, **kwargs):
            calls.append(kwargs)
            return probability if posterior is None else torch.from_numpy(posterior)[None]

        monkeypatch.setattr(crf, 'dense_crf', dense_crf)
        return calls

    return install


def background_wins(num_rows, size=(6, 8)):
    posterior = np.full((num_rows, *size), 0.1, dtype=np.float32)
    posterior[0] = 0.9
    return posterior


IMAGE = np.zeros((6, 8, 3), dtype=np.uint8)


def test_classes_count_in_their_own_boxes_only(crf_keeps):
    layout = layout_of([[0, 0, 4, 6], [3, 0, 8, 6]], [8, 5])  # rows: class 5 right, class 8 left
    posterior = np.stack([np.full((6, 8), p, np.float32) for p in (0.2, 0.3, 0.5)])
    posterior[0, 0] = 0.9
    crf_keeps(posterior)
    label = LabelTask(IMAGE, layout, posterior, (False, False), {}).run()
    assert label.dtype == np.uint8 and (label[0] == 0).all()
    assert label[1].tolist() == [8, 8, 8, 8, 5, 5, 5, 5]


def test_ignored_pixels(crf_keeps):
    layout = layout_of([[0, 0, 4, 6]], [1], [[2, 0, 6, 6]])
    crf_keeps(np.stack([np.full((6, 8), 0.4), np.full((6, 8), 0.6)]).astype(np.float32))
    label = LabelTask(IMAGE, layout, background_wins(2), (False,), {}).run()
    assert label[3].tolist() == [1, 1, 1, 1, 255, 255, 0, 0]


def test_image_without_boxes_is_background_and_runs_no_crf(crf_keeps):
    calls = crf_keeps()
    label = LabelTask(IMAGE, layout_of([], [], [[0, 0, 2, 1]]), np.ones((1, 6, 8), np.float32), (), {}).run()
    assert not calls and (label == 255).sum() == 2 and (label == 0).sum() == 46


def test_crf_parameters_and_image_size(crf_keeps):
    calls = crf_keeps()
    task = LabelTask(IMAGE, layout_of([[0, 0, 4, 4]], [1]), background_wins(2), (False,), dict(iterations=3))
    pickle.loads(pickle.dumps(task)).run()
    assert calls == [dict(iterations=3)]
    with pytest.raises(ValueError, match=r'\(5, 8\).*\(6, 8\)'):
        LabelTask(IMAGE[:5], task.layout, task.probability, (False,), {})


def restored(crf_keeps, boxes, classes, probability, restore):
    crf_keeps(background_wins(len(probability)))
    return LabelTask(IMAGE, layout_of(boxes, classes), probability, restore, {}).run()


def test_empty_box_gets_back_what_the_unary_gives_it(crf_keeps):
    probability = background_wins(2)
    probability[:, 1, 1:3] = [[0.5, 0.4], [0.5, 0.6]]  # a tie counts
    label = restored(crf_keeps, [[0, 0, 4, 4]], [1], probability, (True,))
    assert label[1].tolist() == [0, 1, 1, 0, 0, 0, 0, 0] and label.sum() == 2
    assert restored(crf_keeps, [[0, 0, 4, 4]], [1], probability, (False,)).sum() == 0


def test_empty_box_that_never_wins_gets_its_best_pixel(crf_keeps):
    probability = background_wins(2)
    probability[1, 2, 3] = 0.2
    label = restored(crf_keeps, [[0, 0, 4, 4]], [6], probability, (True,))
    assert label[2, 3] == 6 and (label > 0).sum() == 1


def test_one_pixel_box_is_restored_in_front_of_a_large_one(crf_keeps):
    probability = np.stack([np.full((6, 8), p, np.float32) for p in (0.2, 0.3, 0.5)])
    label = restored(crf_keeps, [[2, 2, 3, 3], [0, 0, 8, 6]], [1, 2], probability, (True, True))
    assert label[2, 2] == 1 and (label == 2).sum() == 47


def test_box_with_pixels_of_its_class_is_left_alone(crf_keeps):
    probability = np.stack([np.full((6, 8), 0.4), np.full((6, 8), 0.6)]).astype(np.float32)
    posterior = background_wins(2)
    posterior[1, 3, 3] = 0.95
    crf_keeps(posterior)
    label = LabelTask(IMAGE, layout_of([[0, 0, 8, 6]], [1]), probability, (True,), {}).run()
    assert label.sum() == 1


def test_several_images_at_once():
    rng = np.random.default_rng(0)
    sizes_and_classes = [((6, 8), [1]), ((6, 8), [2]), ((7, 8), [1]), ((6, 8), []), ((6, 8), [1, 2]), ((6, 8), [3])]
    tasks = []
    for (height, width), classes in sizes_and_classes:
        boxes = [[1.0, 1, 6, 5], [3, 2, 8, 6]][: len(classes)]
        layout = BoxLayout.from_boxes((height, width), boxes, classes)
        probability = rng.dirichlet(np.ones(len(layout.classes)), (height, width)).transpose(2, 0, 1)
        tasks.append(
            LabelTask(
                rng.integers(0, 255, (height, width, 3), np.uint8),
                layout,
                np.ascontiguousarray(probability, np.float32),
                (True,) * len(classes),
                dict(iterations=2, backend='torch'),
            )
        )
    for label, task in zip(crf_labels(tasks), tasks):
        assert np.array_equal(label, task.run())
        assert set(np.unique(label)) <= set(task.layout.classes)


def test_images_of_one_kind_go_through_the_crf_together(crf_keeps):
    calls = crf_keeps()
    tasks = [
        LabelTask(IMAGE, layout_of([[0, 0, 4, 4]], [index]), background_wins(2), (False,), {}) for index in (1, 4, 6)
    ]
    tasks.append(LabelTask(IMAGE, layout_of([[0, 0, 4, 4]] * 2, [1, 2]), background_wins(3), (False, False), {}))
    crf_labels(tasks)
    assert len(calls) == 2
