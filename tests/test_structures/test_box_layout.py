import pickle

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from bana_mm.structures import BoxLayout

SIZE = (6, 8)


def layout_of(boxes, classes, ignored=None):
    return BoxLayout.from_boxes(SIZE, boxes, classes, ignored)


def example():
    return layout_of([[0, 0, 2, 2], [4.4, 1, 7.6, 9], [1, 1, 3, 3]], [15, 3, 15], [[5, 0, 8, 2]])


def test_by_hand():
    layout = example()
    assert layout.size == (6, 8) and layout.classes == (0, 3, 15) and layout.rows == (1, 0, 1)
    assert layout.boxes.dtype == torch.int64 and layout.boxes.tolist() == [[0, 0, 2, 2], [4, 1, 8, 6], [1, 1, 3, 3]]
    assert layout.box_classes == (15, 3, 15) and layout.areas.tolist() == [4, 20, 4]
    regions = layout.regions()
    assert regions[0].sum() == 20 and regions[1].sum() == 7
    assert layout.unknown().nonzero().tolist() == [[0, 5], [0, 6], [0, 7]]  # row 1 is in a kept box as well
    assert (layout.background() == ~(regions.any(0) | layout.unknown())).all()


@pytest.mark.parametrize('none', [[], np.zeros((0, 4)), torch.zeros(0, 4)])
def test_without_boxes(none):
    layout = layout_of(none, [])
    assert layout.classes == (0,) and layout.rows == layout.box_classes == () and layout.background().all()
    assert layout.regions().shape == (0, 6, 8) and layout.areas.shape == (0,) and not layout.unknown().any()
    assert layout.by_instance().classes == layout.by_class().classes == (0,)


def test_boxes_of_less_than_a_pixel_and_over_the_edge():
    layout = layout_of([[7, 5.2, 7.2, 5.3], [-5, -5, 1.4, 99], [20, 20, 30, 30]], [1, 1, 2])
    assert layout.boxes.tolist() == [[7, 5, 8, 6], [0, 0, 1, 6], [7, 5, 8, 6]]
    assert layout.areas.tolist() == [1, 6, 1]


def test_rows_by_class_and_by_box():
    layout = example()
    each = layout.by_instance()
    assert each.classes == (0, 15, 3, 15) and each.rows == (0, 1, 2) and each.box_classes == layout.box_classes
    assert [int(region.sum()) for region in each.regions()] == [4, 20, 4]
    again = each.by_class()
    assert (again.classes, again.rows) == (layout.classes, layout.rows)
    assert torch.equal(again.boxes, layout.boxes) and torch.equal(each.ignored, layout.ignored)


@pytest.mark.parametrize('given', [list, np.asarray, torch.tensor])
def test_boxes_and_classes_of_any_kind(given):
    layout = layout_of(given([[1.0, 2.0, 3.0, 4.0]]), given([7]), given([[0.0, 0.0, 1.0, 1.0]]))
    assert layout.boxes.tolist() == [[1, 2, 3, 4]] and layout.box_classes == (7,)
    assert layout.ignored.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ('boxes', 'classes', 'message'),
    [
        ([[0, 0, 1, 1], [0, 0, 2, 2]], [1], '2 boxes need as many classes, got 1'),
        ([[0, 0, 1, 1]], [0], r'1\.\.254 .* got \[0\]'),
        ([[0, 0, 1, 1]], [255], r'1\.\.254 .* got \[255\]'),
        ([[0, 0, float('nan'), 1]], [1], 'boxes must be finite'),
        ([[0, 0, float('inf'), 1]], [1], 'boxes must be finite'),
    ],
)
def test_bad_boxes(boxes, classes, message):
    with pytest.raises(ValueError, match=message):
        layout_of(boxes, classes)
    with pytest.raises(ValueError, match='boxes must be finite'):
        layout_of([], [], [[0, 0, np.inf, 1]])


def test_labels_of_the_frameworks_become_classes():
    instances = [
        dict(bbox=[0, 0, 2, 2], bbox_label=14, ignore_flag=0),
        dict(bbox=[5, 0, 8, 2], bbox_label=2, ignore_flag=1),
        dict(bbox=[4.4, 1, 7.6, 9], bbox_label=2, ignore_flag=0),
    ]
    sample = DetDataSample(metainfo=dict(ori_shape=SIZE))
    for name, flag in (('gt_instances', 0), ('ignored_instances', 1)):
        kept = [one for one in instances if one['ignore_flag'] == flag]
        boxes = HorizontalBoxes(torch.tensor([one['bbox'] for one in kept]).float())
        setattr(sample, name, InstanceData(bboxes=boxes, labels=torch.tensor([one['bbox_label'] for one in kept])))
    for layout in (BoxLayout.from_instances(SIZE, instances), BoxLayout.from_sample(sample)):
        assert layout.size == SIZE and layout.box_classes == (15, 3) and layout.classes == (0, 3, 15)
        assert layout.boxes.tolist() == [[0, 0, 2, 2], [4, 1, 8, 6]] and layout.ignored.tolist() == [[5, 0, 8, 2]]
    assert BoxLayout.from_instances(SIZE, []).classes == (0,)


def test_classes_count_in_their_own_boxes_only():
    layout = layout_of([[0, 0, 4, 6], [3, 0, 8, 6]], [8, 5])  # rows: class 5 right, class 8 left
    scores = torch.stack([torch.full(SIZE, score) for score in (0.2, 0.3, 0.5)])
    scores[0, 0] = 0.9
    label = layout.label_map(scores)
    assert label.dtype == np.uint8 and (label[0] == 0).all()
    assert label[1].tolist() == [8, 8, 8, 8, 5, 5, 5, 5]


def test_ignored_pixels_of_a_label_map():
    layout = layout_of([[0, 0, 4, 6]], [1], [[2, 0, 6, 6]])
    label = layout.label_map(torch.stack([torch.full(SIZE, 0.4), torch.full(SIZE, 0.6)]))
    assert label[3].tolist() == [1, 1, 1, 1, 255, 255, 0, 0]


@pytest.mark.parametrize('protocol', [2, 5])
def test_pickles_as_plain_arrays(protocol):
    """Tensors would go through shared memory, one file each, where a worker process is to get them."""
    layout = example()
    state = layout.__getstate__()
    assert not any(isinstance(value, torch.Tensor) for value in state.values())
    packed = pickle.dumps(layout, protocol)
    assert b'torch' not in packed
    other = pickle.loads(packed)
    assert (other.size, other.classes, other.rows) == (layout.size, layout.classes, layout.rows)
    for name in ('boxes', 'ignored'):
        assert torch.equal(getattr(other, name), getattr(layout, name))
    other.boxes[0, 0] = 1  # it is its own
    assert layout.boxes[0, 0] == 0


def test_views_of_arrays():
    boxes, classes = np.array([[0.0, 0, 2, 2], [4, 1, 8, 6]]), np.array([15, 3])
    layout = layout_of(boxes[::-1], classes[::-1])
    assert layout.box_classes == (3, 15) and layout.boxes.tolist() == [[4, 1, 8, 6], [0, 0, 2, 2]]
