"""What must hold for any boxes, grids and features: the equations of stage 1 (paper Eq. 1-4) and pixels of boxes."""

import pytest
import torch
from fuzzing import QUICK
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from bana_mm.functional import (
    background_attention,
    background_aware_features,
    background_aware_pool,
    background_queries,
    box_masks,
    definite_background,
    inside_boxes,
    pixel_boxes,
    roi_weights,
)

STRIDE = 8
HALF = (torch.float16, torch.bfloat16)


def all_finite(*tensors: Tensor) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


@st.composite
def box_lists(draw, size, most=5):
    """Boxes of an image: one pixel, all of it, outside, over the edge, anything, each maybe twice."""
    height, width = size
    x, y = st.integers(0, width - 1), st.integers(0, height - 1)
    pixel = st.builds(lambda x, y: (x, y, x + 1, y + 1), x, y)
    anything = st.builds(
        lambda x1, x2, y1, y2: (min(x1, x2), min(y1, y2), max(x1, x2) + 0.5, max(y1, y2) + 0.5), x, x, y, y
    )
    special = st.sampled_from(
        [
            (0, 0, width, height),
            (-30, -30, -10, -10),
            (width + 5, 0, width + 50, height),
            (-100, -50, width + 100, height + 50),
            (2, 2, 2, 2),
            (0.25, 0.25, 0.5, 0.5),
        ]
    )
    boxes = draw(st.lists(st.one_of(pixel, anything, special), max_size=most))
    return boxes + (boxes if draw(st.booleans()) else [])


@st.composite
def batches(draw):
    """Features (N, D, h, w), RoIs (K, 5), definite background and what the images are like."""
    channels, height, width = draw(st.integers(1, 5)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    size = (draw(st.integers(max(1, STRIDE * height - 7), STRIDE * height)), STRIDE * width)
    lists = [draw(box_lists(size)) for _ in range(draw(st.integers(1, 3)))]
    kind = draw(st.sampled_from(['normal', 'rectified', 'zero', 'huge', 'tiny', 'constant', 'sparse']))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    feats = torch.randn(len(lists), channels, height, width, generator=generator)
    if kind in ('rectified', 'sparse'):
        feats = feats.relu() if kind == 'rectified' else feats * (feats > 1)
    scale = dict(zero=0, huge=1e15, tiny=1e-30).get(kind, 1)
    feats = torch.ones_like(feats) if kind == 'constant' else feats * scale
    rois = to_rois(lists)
    return feats, rois, definite_background(rois, [size] * len(lists), size), size


def to_rois(lists) -> Tensor:
    rows = [[number, *box] for number, boxes in enumerate(lists) for box in boxes]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)


MANY = [to_rois([[(5, 5, 20, 30)] * 200]), to_rois([[(x, y, x + 9, y + 9) for x in range(20) for y in range(10)]])]


@QUICK
@given(batches(), st.sampled_from([1, 2, 4, 7]), st.sampled_from([1, 2, 3]), st.booleans())
@example((torch.randn(1, 4, 5, 6), MANY[0], torch.ones(1, 1, 40, 48, dtype=torch.bool), (40, 48)), 4, 2, True)
@example((torch.randn(1, 4, 5, 6), MANY[1], torch.ones(1, 1, 40, 48, dtype=torch.bool), (40, 48)), 4, 2, True)
def test_finite_in_one_step_and_in_three(batch, grid_size, output_size, align_corners):
    feats, rois, background, _ = batch
    values, gradients = [], []
    for at_once in (True, False):
        given_feats = feats.clone().requires_grad_()
        if at_once:
            pooled, queries, valid = background_aware_features(
                given_feats, background, rois, grid_size, 1 / STRIDE, output_size, align_corners=align_corners
            )
        else:
            queries, valid = background_queries(given_feats, background, grid_size)
            attention = background_attention(given_feats, queries, valid)
            assert all_finite(attention) and 0 <= attention.min() and attention.max() <= 1
            pooled = background_aware_pool(given_feats, rois, attention, 1 / STRIDE, output_size, align_corners)
        assert pooled.shape == (len(rois), feats.size(1), output_size, output_size)
        (pooled.square().sum() / feats.abs().max().clamp(min=1e-12) + queries.sum()).backward()
        assert all_finite(pooled, queries, given_feats.grad)
        values.append((pooled.detach(), queries.detach()))
        gradients.append(given_feats.grad)
    scale = float(feats.abs().max())
    for one, other in zip(*values):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * scale)


@QUICK
@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_boxes_is_theirs_alone(batch, random):
    feats, rois, background, _ = batch
    order = list(range(len(rois)))
    random.shuffle(order)
    pooled, queries, valid = background_aware_features(feats, background, rois, 4, 1 / STRIDE)
    moved, same_queries, same_valid = background_aware_features(feats, background, rois[order], 4, 1 / STRIDE)
    tolerance = dict(rtol=1e-4, atol=1e-5 * float(feats.abs().max()))
    torch.testing.assert_close(moved, pooled[order], **tolerance)
    torch.testing.assert_close(same_queries, queries)
    assert torch.equal(same_valid, valid)


@QUICK
@given(batches())
def test_images_of_a_batch_do_not_see_each_other(batch):
    feats, rois, background, _ = batch
    pooled, queries, _ = background_aware_features(feats, background, rois, 4, 1 / STRIDE)
    for number in range(len(feats)):
        own = rois[:, 0] == number
        alone = rois[own].clone()
        alone[:, 0] = 0
        part = slice(number, number + 1)
        found, query, _ = background_aware_features(feats[part], background[part], alone, 4, 1 / STRIDE)
        tolerance = dict(rtol=1e-4, atol=1e-5 * float(feats.abs().max()))
        torch.testing.assert_close(found, pooled[own], **tolerance)
        torch.testing.assert_close(query[0], queries[number], **tolerance)


@QUICK
@given(batches(), st.sampled_from([1, 2, 4]))
def test_a_flipped_image(batch, grid_size):
    """Where every cell is centred on a pixel and the grid's cells are alike, nothing tells left from right."""
    feats, rois, _, _ = batch
    columns = -(-feats.size(3) // grid_size) * grid_size
    feats = torch.cat([feats, feats[..., :1].expand(-1, -1, -1, columns - feats.size(3))], dim=3)
    height, width = STRIDE * (feats.size(2) - 1) + 1, STRIDE * (columns - 1) + 1
    background = definite_background(rois, [(height, width)] * len(feats), (height, width))
    flipped = rois[:, [0, 3, 2, 1, 4]] * torch.tensor([1, -1, 1, -1, 1]) + torch.tensor([0, width, 0, width, 0])
    maps, vectors = [], []
    for given_feats, given_background, boxes in (
        (feats, background, rois),
        (feats.flip(3), background.flip(3), flipped),
    ):
        queries, valid = background_queries(given_feats, given_background, grid_size)
        maps.append(background_attention(given_feats, queries, valid))
        vectors.append(background_aware_pool(given_feats, boxes, maps[-1], 1 / STRIDE))
    torch.testing.assert_close(maps[1], maps[0].flip(3), rtol=1e-3, atol=1e-5)
    inside = (rois[:, 3] > rois[:, 1]) & (rois[:, 4] > rois[:, 2])
    torch.testing.assert_close(
        vectors[1][inside], vectors[0][inside].flip(3), rtol=1e-3, atol=1e-4 * float(feats.abs().max())
    )


@QUICK
@given(batches(), st.sampled_from(HALF))
def test_half_precision(batch, dtype):
    """Computed in float32: the same as from features that were rounded before."""
    feats, rois, background, _ = batch
    feats = feats.clamp(-6e4, 6e4).to(dtype)
    exact = background_aware_features(feats.float(), background, rois, 4, 1 / STRIDE)
    given_feats = feats.clone().requires_grad_()
    found = background_aware_features(given_feats, background, rois, 4, 1 / STRIDE)
    for one, other in zip(found, exact):
        assert torch.equal(one, other)
    found[0].sum().backward()
    assert all_finite(given_feats.grad)
    queries, valid = background_queries(feats, background, 4)
    attention = background_attention(feats, queries, valid)
    assert all_finite(attention) and attention.max() <= 1
    pooled = background_aware_pool(feats, rois, attention, 1 / STRIDE)
    torch.testing.assert_close(pooled, exact[0], rtol=1e-3, atol=1e-4 * float(feats.abs().max()))


@pytest.mark.parametrize('scale', [1e-8, 1e-3, 1e3, 1e15])
def test_attention_does_not_depend_on_the_length_of_features(scale):
    feats = torch.randn(2, 5, 6, 7)
    background = torch.rand(2, 1, 48, 56) > 0.5
    first, second = (
        background_attention(values, *background_queries(values, background, 4)) for values in (feats, scale * feats)
    )
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@st.composite
def images_with_boxes(draw):
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    return size, torch.tensor(draw(box_lists(size)), dtype=torch.float32).reshape(-1, 4)


@QUICK
@given(images_with_boxes())
def test_pixels_of_boxes(image):
    (height, width), boxes = image
    pixels = pixel_boxes(boxes, (height, width))
    assert ((0 <= pixels[:, :2]) & (pixels[:, :2] < pixels[:, 2:])).all()
    assert (pixels[:, 2] <= width).all() and (pixels[:, 3] <= height).all()
    masks = box_masks(boxes, (height, width))
    area = (pixels[:, 2:] - pixels[:, :2]).prod(dim=1)
    assert torch.equal(masks.sum(dim=(1, 2)), area)
    assert torch.equal(inside_boxes(boxes, (height, width)), masks.any(dim=0))
    background = definite_background(to_rois([boxes.tolist()]), [(height, width)], (height, width))
    assert torch.equal(background[0, 0], ~masks.any(dim=0))


@QUICK
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.booleans(), st.data())
def test_weights_of_boxes_in_the_image_are_averages(height, width, output_size, align_corners, data):
    size = (STRIDE * height, STRIDE * width)
    boxes = [
        box for box in data.draw(box_lists(size)) if 0 <= box[0] < box[2] <= size[1] and 0 <= box[1] < box[3] <= size[0]
    ]
    weights = roi_weights(to_rois([boxes]), (height, width), 1 / STRIDE, output_size, align_corners)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(len(boxes), output_size**2), rtol=1e-5, atol=1e-5)
