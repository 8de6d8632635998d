"""Eq. 4 against RoIAlign's samples box by box, and mmcv's RoIAlign."""

import pytest
import torch

from bana_mm.functional import background_aware_pool, roi_weights
from benchmarks.slow.bap import loop_pool


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    feats = torch.rand(3, 4, 9, 11, dtype=torch.float64, generator=generator)
    attention = torch.rand(3, 1, 9, 11, dtype=torch.float64, generator=generator)
    rois = torch.tensor(
        [
            [2, 3, 4, 60, 50],
            [0, 10, 20, 11, 21],  # one pixel
            [0, 0, 0, 81, 65],  # the whole image
            [2, 50, 3, 77, 60.5],
            [2, 0, 40, 81, 44],  # flat
        ],
        dtype=torch.float64,
    )  # image 1 has none
    return feats, attention, rois


@pytest.mark.parametrize('bins', [1, 2, 3])
@pytest.mark.parametrize('align_corners', [True, False])
def test_equals_weighted_roi_align_samples(case, bins, align_corners):
    feats, attention, rois = case
    pooled = background_aware_pool(feats, rois, attention, 1 / 8, bins, align_corners)
    torch.testing.assert_close(pooled, loop_pool(feats, rois, attention, 1 / 8, bins, align_corners))
    counted = background_aware_pool(feats, rois, attention, 1 / 8, bins, align_corners, counts=[2, 0, 3])
    torch.testing.assert_close(counted, pooled)


def test_equals_mmcv_roi_align(case):
    roi_align = pytest.importorskip('mmcv.ops').roi_align
    feats, attention, rois = case
    numerator, denominator = (
        roi_align(x, rois, (2, 2), 1 / 8, 0, 'avg', True) for x in ((1 - attention) * feats, 1 - attention)
    )
    pooled = background_aware_pool(feats, rois, attention, 1 / 8, 2, align_corners=False)
    torch.testing.assert_close(pooled, numerator / denominator)
    plain = background_aware_pool(feats, rois, None, 1 / 8, 2, align_corners=False)
    torch.testing.assert_close(plain, roi_align(feats, rois, (2, 2), 1 / 8, 0, 'avg', True))


def test_without_attention_is_average_pooling(case):
    feats, attention, rois = case
    torch.testing.assert_close(
        background_aware_pool(feats, rois, None, 1 / 8), loop_pool(feats, rois, torch.zeros_like(attention), 1 / 8, 2)
    )


def test_roi_order_does_not_matter(case):
    feats, attention, rois = case
    order = torch.tensor([3, 1, 0, 4, 2])
    torch.testing.assert_close(
        background_aware_pool(feats, rois[order], attention, 1 / 8),
        background_aware_pool(feats, rois, attention, 1 / 8)[order],
    )


def test_weights_by_hand():
    # At stride 1 with aligned corners pixel i is cell i: a box over pixels 1 and 2 averages cells 1 and 2.
    weight = roi_weights(torch.tensor([[0.0, 1.0, 0.0, 3.0, 1.0]]), (1, 4), 1.0, output_size=1)
    torch.testing.assert_close(weight.flatten(), torch.tensor([0.0, 0.5, 0.5, 0.0]))
    # Two bins over the same box: one cell each.
    weight = roi_weights(torch.tensor([[0.0, 1.0, 0.0, 3.0, 1.0]]), (1, 4), 1.0, output_size=2)
    torch.testing.assert_close(weight[0, :2, 0], torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]))


def test_by_hand_at_stride_8():
    """A row of 25 pixels; cells lie on the middle of pixels 0, 8, 16 and 24.

    A box from edge 0.5, the middle of pixel 0, to edge 20.5, the middle of pixel 20, is cells 0 to 2.5.
    """
    feats, attention = torch.tensor([1.0, 2, 4, 8]), torch.tensor([0, 0.5, 0.25, 0.5])
    rois = torch.tensor([[0, 0.5, 0, 20.5, 1]])
    feats, attention = feats.view(1, 1, 1, 4), attention.view(1, 1, 1, 4)
    # one bin, three samples at cells 5/12, 15/12 and 25/12: cells count 7, 14, 14 and 1 twelfths
    expected = (7 * 1 * 1 + 14 * 0.5 * 2 + 14 * 0.75 * 4 + 1 * 0.5 * 8) / (7 * 1 + 14 * 0.5 + 14 * 0.75 + 1 * 0.5)
    pooled = background_aware_pool(feats, rois, attention, 1 / 8, output_size=1)
    assert pooled.item() == pytest.approx(expected) == pytest.approx(2.68)
    # two bins of 1.25 cells, of two samples each: at 5/16 and 15/16, at 25/16 and 35/16
    left = (12 * 1 * 1 + 20 * 0.5 * 2) / (12 * 1 + 20 * 0.5)
    right = (7 * 0.5 * 2 + 22 * 0.75 * 4 + 3 * 0.5 * 8) / (7 * 0.5 + 22 * 0.75 + 3 * 0.5)
    pooled = background_aware_pool(feats, rois, attention, 1 / 8, output_size=2)
    torch.testing.assert_close(pooled, torch.tensor([left, right]).expand(1, 1, 2, 2))


def test_attention_moves_the_average_to_the_foreground():
    feats = torch.tensor([[[[1.0, 3.0]]]])
    attention = torch.tensor([[[[0.75, 0.25]]]])
    pooled = background_aware_pool(feats, torch.tensor([[0.0, 0.0, 0.0, 2.0, 1.0]]), attention, 1.0, output_size=1)
    assert pooled.item() == pytest.approx((0.25 * 1 + 0.75 * 3) / 1)


def test_box_of_nothing_but_background_gives_zero():
    feats = torch.rand(1, 2, 4, 4)
    pooled = background_aware_pool(feats, torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]), torch.ones(1, 1, 4, 4), 1.0)
    assert pooled.eq(0).all()


def test_no_boxes_keeps_the_graph_connected():
    feats = torch.rand(2, 3, 4, 4, requires_grad=True)
    pooled = background_aware_pool(feats, torch.zeros(0, 5), None, 1 / 8)
    assert pooled.shape == (0, 3, 2, 2)
    pooled.sum().backward()
    assert feats.grad.eq(0).all()


def test_gradients_of_features_and_attention(case):
    feats, attention, rois = case
    feats, attention = feats[:, :2, :5, :6], attention[:, :, :5, :6]
    inputs = (feats.clone().requires_grad_(), attention.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda f, a: background_aware_pool(f, rois, a, 1 / 16), inputs)


def test_bad_rois_are_named():
    with pytest.raises(ValueError, match=r'rois must have shape \(K, 5\)'):
        background_aware_pool(torch.zeros(1, 1, 2, 2), torch.zeros(3, 4), None, 1.0)
