"""What must hold for any image, boxes and features: the equations of stage 2 (paper Eq. 5-9) and the CRF."""

import numpy as np
import pytest
import torch
from fuzzing import QUICK
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_properties_of_pooling import HALF, all_finite, box_lists

from bana_mm.functional import (
    Upsampling,
    activation_scores,
    background_activation_score,
    background_score,
    class_activation,
    class_regions,
    class_scores,
    dense_crf,
    image_attention,
    label_rows,
    pixel_boxes,
    recognised_boxes,
    retrieval_scores,
    stretched_background_score,
    unary_probability,
)


@st.composite
def labelled_images(draw):
    """Features (D, h, w), image size, boxes (K, 4) in pixels, the class map of each box, and classifier weights."""
    channels, grid = draw(st.integers(1, 5)), (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    size = tuple(draw(st.integers(8 * cells - 7, 8 * cells)) for cells in grid)
    boxes = pixel_boxes(torch.tensor(draw(box_lists(size)), dtype=torch.float32).reshape(-1, 4), size)
    classes = draw(st.integers(1, 3))
    rows = draw(st.lists(st.integers(0, classes - 1), min_size=len(boxes), max_size=len(boxes)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    feats = torch.randn(channels, *grid, generator=generator)
    kind = draw(st.sampled_from(['normal', 'rectified', 'zero', 'huge', 'tiny', 'constant']))
    feats = dict(rectified=feats.relu(), constant=torch.ones_like(feats)).get(
        kind, feats * dict(zero=0, huge=1e15, tiny=1e-30).get(kind, 1)
    )
    weight = torch.randn(classes + 1, channels, generator=generator) * draw(st.sampled_from([0, 0.01, 1, 1e3]))
    return feats, size, boxes, rows, weight


def unaries(image, normalise='box', background='attention', temperature=1.0, competition='image', flips=False):
    """u_0, the scores of the classes and the probabilities, all through one choice of each function."""
    feats, size, boxes, rows, weight = image
    if flips:
        feats, boxes = feats.flip(2), boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
        boxes = boxes + torch.tensor([size[1], 0, size[1], 0])
    upsampling = Upsampling(feats.shape[1:], size)
    regions = class_regions(boxes, rows, len(weight) - 1, size)
    attention = image_attention(feats, ~regions.any(dim=0), upsampling)
    activation = upsampling(class_activation(feats[None], weight)[0])
    scores, _ = activation_scores(activation[1:], boxes, rows, 1 - attention, normalise)
    u_0 = dict(
        attention=lambda: background_score(attention),
        stretched=lambda: stretched_background_score(attention, boxes),
        cam=lambda: background_activation_score(activation[0]),
    )[background]()
    maps = class_scores(scores, boxes, rows, len(weight) - 1, size)
    probability = unary_probability(u_0, maps, regions, None, temperature, competition)
    return attention, u_0, maps, probability, regions


CHOICES = dict(
    normalise=st.sampled_from(['box', 'image']),
    background=st.sampled_from(['attention', 'stretched', 'cam']),
    temperature=st.sampled_from([1.0, 0.05, None]),
    competition=st.sampled_from(['image', 'pixel']),
)


@QUICK
@given(labelled_images(), st.fixed_dictionaries(CHOICES))
def test_scores_and_probabilities(image, choices):
    attention, u_0, maps, probability, regions = unaries(image, **choices)
    for scores in (attention, u_0, maps, probability):
        assert all_finite(scores) and scores.min() >= 0 and scores.max() <= 1 + 1e-6
    torch.testing.assert_close(probability.sum(dim=0), torch.ones(image[1]), rtol=1e-5, atol=1e-5)
    labels = label_rows(probability, regions)
    assert (labels[~regions.any(dim=0)] == 0).all()
    correlation = retrieval_scores(
        image[0], torch.cat([~regions.any(dim=0)[None], regions]), image[4], Upsampling(image[0].shape[1:], image[1])
    )
    assert all_finite(correlation) and correlation.min() >= 0 and correlation.max() <= 1
    recognised = recognised_boxes(torch.cat([u_0[None], maps]), image[2], image[3], 0.5)
    assert recognised.shape == (len(image[2]),)


@QUICK
@given(labelled_images(), st.fixed_dictionaries(CHOICES), st.randoms(use_true_random=False))
def test_the_order_of_boxes_does_not_matter(image, choices, random):
    feats, size, boxes, rows, weight = image
    order = list(range(len(boxes)))
    random.shuffle(order)
    moved = (feats, size, boxes[order], [rows[k] for k in order], weight)
    for one, other in zip(unaries(image, **choices), unaries(moved, **choices)):
        assert torch.equal(one, other)


@QUICK
@given(labelled_images(), st.fixed_dictionaries(CHOICES))
def test_a_flipped_image(image, choices):
    if choices['background'] == 'attention':
        choices = dict(choices, background='stretched')  # a threshold turns rounding errors into zeros
    for one, other in zip(unaries(image, **choices)[:1], unaries(image, **choices, flips=True)[:1]):
        torch.testing.assert_close(other, one.flip(-1), rtol=1e-3, atol=1e-4)
    feats, *_, weight = image
    upsampling = Upsampling(feats.shape[1:], image[1])
    activation, flipped = (upsampling(class_activation(values[None], weight)[0]) for values in (feats, feats.flip(2)))
    torch.testing.assert_close(
        flipped, activation.flip(-1), rtol=1e-3, atol=1e-5 * max(1.0, float(activation.abs().max()))
    )


def test_flipped_unaries():
    """Of features without ties, through every function."""
    feats, size = torch.randn(4, 5, 6), (33, 41)
    boxes = torch.tensor([[2, 3, 20, 30], [15, 0, 41, 12], [0, 0, 9, 9]])
    image = (feats, size, boxes, [0, 1, 0], torch.randn(3, 4))
    for background in ('attention', 'stretched', 'cam'):
        straight, flipped = unaries(image, background=background), unaries(image, background=background, flips=True)
        for one, other in zip(straight, flipped):
            torch.testing.assert_close(other.float(), one.float().flip(-1), rtol=1e-4, atol=1e-4)


@QUICK
@given(labelled_images(), st.sampled_from(HALF))
def test_half_precision(image, dtype):
    feats, size, boxes, rows, weight = image
    feats, weight = feats.clamp(-6e4, 6e4).to(dtype), weight.clamp(-100, 100).to(dtype)
    exact = unaries((feats.float(), size, boxes, rows, weight.float()))
    for one, other in zip(unaries((feats, size, boxes, rows, weight)), exact):
        assert one.dtype == other.dtype and torch.equal(one, other)


@settings(QUICK, max_examples=25)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(1, 4),
    st.sampled_from(['random', 'certain', 'zero', 'tiny', 'one']),
    st.sampled_from(['noise', 'black', 'stripes']),
    st.sampled_from(['torch', 'pydensecrf']),
)
@example((1, 1), 2, 'random', 'noise', 'torch')
@example((1, 1), 2, 'random', 'noise', 'pydensecrf')
@example((2000, 8), 3, 'random', 'noise', 'torch')
@example((8, 2000), 3, 'certain', 'black', 'torch')
def test_the_posterior_is_a_distribution(size, classes, kind, texture, backend):
    if backend == 'pydensecrf':
        pytest.importorskip('pydensecrf')
    generator = np.random.default_rng(0)
    probability = dict(
        random=lambda: generator.random((classes, *size)),
        certain=lambda: np.eye(classes)[generator.integers(0, classes, size)].transpose(2, 0, 1),
        zero=lambda: np.zeros((classes, *size)),
        tiny=lambda: np.full((classes, *size), 1e-38),
        one=lambda: np.ones((classes, *size)),
    )[kind]().astype(np.float32)
    image = dict(
        noise=lambda: generator.integers(0, 256, (*size, 3), np.uint8),
        black=lambda: np.zeros((*size, 3), np.uint8),
        stripes=lambda: np.broadcast_to(np.arange(size[1])[:, None] % 2 * 255, (*size, 3)).astype(np.uint8),
    )[texture]()
    posterior = dense_crf(image, probability, iterations=3, backend=backend)
    assert np.isfinite(posterior).all() and posterior.min() >= 0
    np.testing.assert_allclose(posterior.sum(axis=0), 1, atol=1e-4)
    order = generator.permutation(classes)
    moved = dense_crf(image, np.ascontiguousarray(probability[order]), iterations=3, backend=backend)
    np.testing.assert_allclose(moved, posterior[order], atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_the_posterior_in_any_precision(dtype):
    probability = torch.rand(3, 9, 7)
    image = torch.randint(0, 256, (9, 7, 3), dtype=torch.uint8)
    exact = dense_crf(image, probability.to(dtype).float(), backend='torch')
    found = dense_crf(image, probability.to(dtype), backend='torch')
    assert found.dtype == torch.float32 and torch.equal(found, exact)
