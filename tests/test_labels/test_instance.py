import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bana_mm.labels.instance_generator import CHUNK, InstanceLabelGenerator, centre_odds
from bana_mm.labels.instance_task import InstanceMask
from bana_mm.structures import BoxLayout, smallest_in_front

SIZE = (33, 41)


def layout_of(boxes, labels):
    return BoxLayout.from_boxes(SIZE, torch.tensor(boxes, dtype=torch.float64), torch.tensor(labels))


def image_features(features):
    """Upsampled to the image: (D, H, W)."""
    return F.interpolate(features[None], SIZE, mode='bilinear', align_corners=True)[0]


@pytest.fixture
def features():
    return torch.rand(6, 9, 11)


@pytest.fixture
def weight():
    weight = torch.rand(4, 6)
    weight[2] = 0  # an unseen class
    return weight


def test_unaries_are_those_of_each_box_alone(features, weight):
    layout = layout_of([[4, 3, 20, 18], [10, 8, 30, 30], [12, 9, 25, 22]], [0, 0, 1])
    maker = InstanceLabelGenerator(
        weight, dict(margin=0.0, min_margin=2, max_scale=1.0, centre=0.7, unary=dict(threshold=None, temperature=0.5))
    )
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    task = maker.prepare([features], image, layout)

    whole = image_features(features)
    background = layout.background()
    query = (whole * background).sum((1, 2)) / background.sum()
    attention = F.cosine_similarity(whole, query[:, None, None], dim=0).relu()
    cam = torch.einsum('d,dhw->hw', weight[1], whole).relu()
    for k, crop in enumerate(task.crops):
        x1, y1, x2, y2 = layout.boxes[k]
        inside = (slice(y1, y2), slice(x1, x2))
        # The class of the last box has no weight: 1 - A is the foreground score, A as it is, before any threshold.
        score = cam[inside] / cam[inside].max() if k < 2 else (1 - attention)[inside] / (1 - attention)[inside].max()
        odds = (score - attention[inside]) / 0.5 + 0.7 * centre_odds(score.shape)
        expected = odds.sigmoid()
        assert np.allclose(crop.in_box(crop.probability.astype(np.float32)), expected, atol=1e-3)
        assert np.array_equal(crop.image, image[y1 - 2 : y2 + 2, x1 - 2 : x2 + 2])
        outside = np.ones(crop.size, bool)
        outside[2:-2, 2:-2] = False
        assert not crop.probability[outside].any()


def test_the_middle_of_a_box_is_more_likely():
    odds = centre_odds((5, 9))
    assert odds[2, 4] == 1 and odds[0, 0] == odds[4, 8] < 0
    assert torch.allclose(odds[2], 1 - torch.tensor([8, 6, 4, 2, 0, 2, 4, 6, 8]) / 9)
    assert torch.allclose(odds[0, 0], 1 - torch.tensor(((4 / 5) ** 2 + (8 / 9) ** 2) ** 0.5))


def test_retrieval_compares_with_the_background_of_all_masks(features, weight):
    layout = layout_of([[4, 3, 20, 18], [10, 8, 30, 30]], [0, 2])
    rng = np.random.default_rng(0)
    masks = [
        InstanceMask(rng.random((y2 - y1, x2 - x1)) < 0.5, 0.25 * k) for k, (x1, y1, x2, y2) in enumerate(layout.boxes)
    ]
    labels = InstanceLabelGenerator(weight, dict(front=False)).finish([features], layout, masks)

    whole = image_features(features)
    regions = np.zeros((2, *SIZE), bool)
    for region, (x1, y1, x2, y2), mask in zip(regions, layout.boxes, masks):
        region[y1:y2, x1:x2] = mask.mask
    none = torch.from_numpy(~regions.any(0))
    background = F.cosine_similarity(whole, whole[:, none].mean(1)[:, None, None], dim=0)
    for k, (label, (x1, y1, x2, y2)) in enumerate(zip(labels, layout.boxes)):
        prototype = whole[:, torch.from_numpy(regions[k])].mean(1)
        y_ret = (F.cosine_similarity(whole, prototype[:, None, None], dim=0) > background).numpy()
        assert np.array_equal(label.mask, masks[k].mask)
        assert np.array_equal(label.unreliable, masks[k].mask != y_ret[y1:y2, x1:x2])
        assert label.score == 0.25 * k


def test_more_boxes_than_fit_at_once_and_none(features, weight):
    boxes = [[k, k, k + 9, k + 7] for k in range(CHUNK + 3)]
    layout = layout_of(boxes, [0] * len(boxes))
    masks = [InstanceMask(np.ones((7, 9), bool), 0.5) for _ in boxes]
    maker = InstanceLabelGenerator(weight, dict(front=False))
    labels = maker.finish([features], layout, masks)
    assert len(labels) == len(boxes)
    single = InstanceLabelGenerator(weight, dict(front=False))
    assert all(label.mask.shape == label.unreliable.shape == (7, 9) for label in labels)
    empty = layout_of(np.zeros((0, 4)), [])
    image = np.zeros((*SIZE, 3), np.uint8)
    assert single.prepare([features], image, empty).crops == [] and single.finish([features], empty, []) == []


def test_smaller_boxes_are_in_front_but_leave_no_mask_empty():
    layout = layout_of([[0, 0, 10, 10], [2, 2, 6, 6], [2, 2, 6, 6], [3, 3, 5, 5]], [0, 0, 1, 0])
    full = [np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in layout.boxes]
    large, first, second, small = smallest_in_front(layout, full)
    assert small.all()
    assert second.sum() == 16 - 4 and not second[1:3, 1:3].any()
    assert first.all()  # all of it is taken: it keeps what it had
    assert large.sum() == 100 - 16 and not large[2:6, 2:6].any()
    assert all(mask.all() for mask in full)  # as they were


def test_features_that_are_not_finite(features, weight):
    from bana_mm.labels.instance_crf import crf_instances

    features[0, 0, 0] = float('nan')
    maker = InstanceLabelGenerator(weight)
    with pytest.raises(ValueError, match='finite'):
        crf_instances(maker.prepare([features], np.zeros((*SIZE, 3), np.uint8), layout_of([[0, 0, 20, 20]], [0])))
