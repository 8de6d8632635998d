import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bana_mm.labels.instance_generator import CHUNK, InstanceLabelGenerator, centre_odds
from bana_mm.structures import BoxLayout, InstanceMask

SIZE = (33, 41)


def layout_of(boxes, classes):
    return BoxLayout.from_boxes(SIZE, boxes, classes)


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
    layout = layout_of([[4, 3, 20, 18], [10, 8, 30, 30], [12, 9, 25, 22]], [1, 1, 2])
    maker = InstanceLabelGenerator(
        weight, dict(margin=0.0, min_margin=2, max_scale=1.0, centre=0.7, unary=dict(threshold=None, temperature=0.5))
    )
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    task = maker.prepare([dict(last=features)], image, layout)

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
    layout = layout_of([[4, 3, 20, 18], [10, 8, 30, 30]], [1, 3])
    rng = np.random.default_rng(0)
    masks = [
        InstanceMask(rng.random((y2 - y1, x2 - x1)) < 0.5, score=0.25 * k)
        for k, (x1, y1, x2, y2) in enumerate(layout.boxes)
    ]
    both = InstanceLabelGenerator(weight, dict(front=False)).finish([dict(last=features)], layout, masks)

    whole = image_features(features)
    regions = np.zeros((2, *SIZE), bool)
    for region, (x1, y1, x2, y2), mask in zip(regions, layout.boxes, masks):
        region[y1:y2, x1:x2] = mask.mask
    none = torch.from_numpy(~regions.any(0))
    background = F.cosine_similarity(whole, whole[:, none].mean(1)[:, None, None], dim=0)
    for k, (crf, ret, (x1, y1, x2, y2)) in enumerate(zip(both['Y_crf'], both['Y_ret'], layout.boxes, strict=True)):
        prototype = whole[:, torch.from_numpy(regions[k])].mean(1)
        y_ret = (F.cosine_similarity(whole, prototype[:, None, None], dim=0) > background).numpy()[y1:y2, x1:x2]
        assert np.array_equal(crf.mask, masks[k].mask) and np.array_equal(ret.mask, y_ret)
        for label in (crf, ret):
            assert np.array_equal(label.unreliable, masks[k].mask != y_ret)
            assert label.score == 0.25 * k


def test_a_box_in_which_nothing_is_retrieved_keeps_its_mask(features, weight):
    """All features the same: no pixel is nearer to its object than to the background."""
    layout = layout_of([[4, 3, 20, 18]], [1])
    found = [InstanceMask(np.eye(15, 16, dtype=bool))]
    both = InstanceLabelGenerator(weight).finish([dict(last=torch.ones_like(features))], layout, found)
    for (one,) in both.values():
        assert np.array_equal(one.mask, found[0].mask) and np.array_equal(one.unreliable, found[0].mask)


def test_smaller_boxes_are_in_front(features, weight):
    layout = layout_of([[0, 0, 10, 10], [2, 2, 6, 6]], [1, 1])
    found = [InstanceMask(np.ones((10, 10), bool)), InstanceMask(np.ones((4, 4), bool))]
    large, small = InstanceLabelGenerator(weight).finish([dict(last=features)], layout, found)['Y_crf']
    assert small.mask.all() and large.mask.sum() == 100 - 16 and not large.mask[2:6, 2:6].any()


def test_more_boxes_than_fit_at_once_and_none(features, weight):
    boxes = [[k, k, k + 9, k + 7] for k in range(CHUNK + 3)]
    layout = layout_of(boxes, [1] * len(boxes))
    masks = [InstanceMask(np.ones((7, 9), bool), score=0.5) for _ in boxes]
    maker = InstanceLabelGenerator(weight, dict(front=False))
    for labels in maker.finish([dict(last=features)], layout, masks).values():
        assert len(labels) == len(boxes)
        assert all(label.mask.shape == label.unreliable.shape == (7, 9) for label in labels)
    empty = layout_of(np.zeros((0, 4)), [])
    image = np.zeros((*SIZE, 3), np.uint8)
    assert maker.prepare([dict(last=features)], image, empty).crops == []
    assert maker.finish([dict(last=features)], empty, []) == dict(Y_crf=[], Y_ret=[])


def test_features_that_are_not_finite(features, weight):
    features[0, 0, 0] = float('nan')
    maker = InstanceLabelGenerator(weight)
    with pytest.raises(ValueError, match='NaN or infinity'):
        maker.prepare([dict(last=features)], np.zeros((*SIZE, 3), np.uint8), layout_of([[0, 0, 20, 20]], [1]))
