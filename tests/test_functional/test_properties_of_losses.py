"""What must hold for any logits and labels: the losses of stage 3 and that of stage 1."""

import pytest
import torch
from fuzzing import QUICK
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from test_properties_of_pooling import HALF, all_finite, batches

from bana_mm.functional import (
    bootstrapped_cross_entropy,
    confidence_map,
    entropy,
    noise_aware_loss,
    noise_aware_loss_with_logits,
    noise_aware_mask_loss,
    region_mean,
)
from bana_mm.models.classifiers import BAPHead


@st.composite
def pixels(draw):
    """Cosines (N, C, H, W), labels (N, H, W) and the reliable region, of every kind."""
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 5))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    kind = draw(st.sampled_from(['random', 'one', 'minus one', 'zero', 'corners', 'over one']))
    cosine = torch.rand(shape, generator=generator) * 2 - 1
    cosine = dict(
        one=torch.ones(shape),
        zero=torch.zeros(shape),
        corners=cosine.sign(),
    ).get(kind, cosine)
    if kind in ('minus one', 'over one'):  # rounding leads a little out of the range
        cosine = torch.full(shape, -1 - 1e-7 if kind == 'minus one' else 1 + 1e-7)
    classes = shape.pop(1)
    label = torch.randint(0, classes, shape, generator=generator)
    ignored = torch.rand(shape, generator=generator) < draw(st.sampled_from([0, 0.3, 1]))
    reliable = torch.rand(shape, generator=generator) < draw(st.sampled_from([0, 0.5, 1]))
    return cosine, label.masked_fill(ignored, 255), reliable


SETTINGS = dict(
    temperature=st.sampled_from([1.0, 20.0, 1000.0]),
    gamma=st.sampled_from([0.0, 1.0, 7.0, 50.0]),
    balance=st.sampled_from([0.0, 0.1, 1.0]),
    detach_confidence=st.booleans(),
)


@QUICK
@given(pixels(), st.fixed_dictionaries(SETTINGS))
def test_the_noise_aware_loss(batch, settings):
    cosine, label, reliable = batch
    cosine = cosine.clone().requires_grad_()
    terms = noise_aware_loss(cosine, label, reliable, **settings)
    sum(terms).backward()
    assert all_finite(*terms, cosine.grad) and all(term >= 0 for term in terms)
    labelled = label != 255
    assert (cosine.grad.abs().sum(dim=1)[~labelled] == 0).all()
    assert terms[0] == 0 or (reliable & labelled).any()
    assert terms[1] == 0 or (~reliable & labelled).any()
    confidence = confidence_map(cosine, label, settings['gamma'])
    assert all_finite(confidence) and 0 <= confidence.min() and confidence.max() <= 1
    assert (confidence[~labelled] == 0).all()


@QUICK
@given(pixels(), st.randoms(use_true_random=False))
def test_the_order_of_pixels_and_images_does_not_matter(batch, random):
    cosine, label, reliable = batch
    terms = noise_aware_loss(cosine, label, reliable)
    for flipped in ([2], [1], [0]):  # of the label's dimensions; the cosines have one more after the first
        moved = cosine.flip([number + (number > 0) for number in flipped])
        others = noise_aware_loss(moved, label.flip(flipped), reliable.flip(flipped))
        torch.testing.assert_close(others, terms, rtol=1e-4, atol=1e-6)


@QUICK
@given(pixels(), st.sampled_from(HALF), st.sampled_from([20.0, 1e3]))
def test_half_precision(batch, dtype, temperature):
    cosine, label, reliable = batch
    logits = (cosine * temperature).to(dtype)
    given_logits = logits.clone().requires_grad_()
    terms = noise_aware_loss_with_logits(given_logits, label, reliable, temperature)
    exact = noise_aware_loss_with_logits(logits.float(), label, reliable, temperature)
    assert all(torch.equal(one, other) for one, other in zip(terms, exact))
    sum(terms).backward()
    assert given_logits.grad.dtype == dtype and all_finite(given_logits.grad)
    mask = given_logits[:, 0].detach().clone().requires_grad_()
    terms = noise_aware_mask_loss(mask, label > 0, reliable)
    sum(terms).backward()
    assert all_finite(*terms, mask.grad)
    assert all_finite(confidence_map(cosine.to(dtype), label))


@QUICK
@given(pixels(), st.fixed_dictionaries(SETTINGS), st.sampled_from([1.0, 1e4, 1e30]))
def test_the_noise_aware_loss_of_masks(batch, settings, scale):
    cosine, label, reliable = batch
    logits = (cosine[:, 0] * scale).requires_grad_()
    terms = noise_aware_mask_loss(logits, label % 2, reliable, **settings)
    sum(terms).backward()
    assert all_finite(*terms, logits.grad) and all(term >= 0 for term in terms)
    assert terms[0] == 0 or reliable.any()
    assert terms[1] == 0 or not reliable.all()


@QUICK
@given(pixels(), st.sampled_from([0.0, 0.8, 1.0]), st.booleans(), st.sampled_from([1.0, 1e3, 1e30]))
def test_what_the_paper_compares_with(batch, beta, hard, scale):
    cosine, label, reliable = batch
    logits = (cosine * scale).requires_grad_()
    log_probability = logits.log_softmax(dim=1)
    maps = entropy(log_probability), bootstrapped_cross_entropy(log_probability, label, beta, hard)
    means = [region_mean(values, reliable) for values in maps]
    sum(means).backward()
    assert all_finite(*maps, *means, logits.grad) and all(values.min() >= -1e-6 for values in maps)
    assert (maps[1][label == 255] == 0).all()


def sample(boxes, size):
    made = DetDataSample(metainfo=dict(img_shape=size, batch_input_shape=size))
    made.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 2)
    return made


@QUICK
@given(batches(), st.sampled_from(['bap', 'gap']), st.sampled_from([0.0, 0.125, 1.0]), st.sampled_from([1e-3, 1.0]))
def test_the_loss_of_the_classifier(batch, pooling, min_background, scale):
    feats, rois, _, size = batch
    torch.manual_seed(0)
    head = BAPHead(2, feats.size(1), pooling=pooling, min_background=min_background)
    head.init_weights()
    samples = [sample(rois[rois[:, 0] == number, 1:], size) for number in range(len(feats))]
    given_feats = (feats * scale).requires_grad_()
    losses = head.loss(given_feats, samples)
    losses['loss_cls'].backward()
    assert all_finite(*losses.values(), given_feats.grad, head.weight.grad) and losses['loss_cls'] >= 0
    scores = head.predict(given_feats, samples)
    assert [len(score) for score in scores] == [len(one.gt_instances) for one in samples]
    for score in scores:
        torch.testing.assert_close(score.sum(dim=1), torch.ones(len(score)), rtol=1e-4, atol=1e-4)
    order = [torch.arange(len(one.gt_instances)).flip(0) for one in samples]
    for one, index in zip(samples, order):
        one.gt_instances = one.gt_instances[index]
    again = head.loss(given_feats, samples)
    torch.testing.assert_close(again['loss_cls'], losses['loss_cls'], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('dtype', HALF)
def test_the_classifier_in_half_precision(dtype):
    head = BAPHead(2, 4)
    head.init_weights()
    feats = torch.randn(2, 4, 4, 5).to(dtype)
    samples = [sample(torch.tensor([[3.0, 4, 30, 20]]), (32, 40)), sample(torch.zeros(0, 4), (32, 40))]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = head.loss(feats, samples)['loss_cls']
    assert loss.dtype == torch.float32 and torch.equal(loss, head.loss(feats.float(), samples)['loss_cls'])
