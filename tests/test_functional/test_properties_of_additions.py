"""What must hold for any features and boxes: the additions from other papers (words, hybrid pooling, sampling)."""

import torch
from fuzzing import QUICK
from hypothesis import given
from hypothesis import strategies as st
from test_properties_of_pooling import HALF, STRIDE, all_finite, batches

from bana_mm.functional import (
    assign_words,
    background_attention,
    background_queries,
    feature_similarity_loss,
    hybrid_box_pool,
    hybrid_pyramid_pool,
    importance_sampling_loss,
    update_codebook,
    word_decorrelation,
    word_sums,
)


@QUICK
@given(batches(), st.sampled_from([1, 2]), st.randoms(use_true_random=False))
def test_hybrid_pooling(batch, output_size, random):
    feats, rois, background, _ = batch
    given_feats = feats.relu().requires_grad_()
    attention = background_attention(given_feats, *background_queries(given_feats, background, 4))
    pooled = hybrid_box_pool(given_feats, rois, attention, 1 / STRIDE, output_size)
    whole = hybrid_pyramid_pool(given_feats)
    (pooled.sum() + whole.sum()).backward()
    assert all_finite(pooled, whole, given_feats.grad) and (pooled >= 0).all()
    tolerance = 1e-4 * float(feats.abs().max())
    assert (whole <= given_feats.amax(dim=(2, 3)) * (1 + 1e-4) + tolerance).all()
    order = list(range(len(rois)))
    random.shuffle(order)
    moved = hybrid_box_pool(given_feats, rois[order], attention, 1 / STRIDE, output_size)
    torch.testing.assert_close(moved, pooled[order], rtol=1e-4, atol=tolerance)


@QUICK
@given(batches(), st.integers(1, 5), st.sampled_from(['random', 'zero', 'one word']), st.sampled_from([1.0, 100.0]))
def test_visual_words(batch, words, kind, temperature):
    feats, _, background, _ = batch
    torch.manual_seed(0)
    codebook = torch.randn(words, feats.size(1))
    codebook = dict(random=codebook, zero=codebook * 0).get(kind, codebook[:1].expand_as(codebook).contiguous())
    codebook.requires_grad_()
    region = torch.rand(len(feats), *feats.shape[2:]) > 0.5
    for mask in (None, region):
        found = assign_words(feats, codebook, temperature, mask)
        (found.histogram.sum() + word_decorrelation(codebook)).backward()
        assert all_finite(found.histogram, codebook.grad) and found.histogram.min() >= 0
        number = torch.full((len(feats),), feats[0, 0].numel()) if mask is None else mask.sum(dim=(1, 2))
        torch.testing.assert_close(found.histogram.sum(dim=1), number.float(), rtol=1e-4, atol=1e-4)
        moved = update_codebook(codebook.detach(), *word_sums(feats, found.index, words))
        assert all_finite(moved)


@QUICK
@given(batches(), st.sampled_from([1.0, 1e3, 1e30]), st.sampled_from([torch.float32, *HALF]))
def test_sampling_and_similarity(batch, scale, dtype):
    feats, rois, _, _ = batch
    torch.manual_seed(0)
    unit = feats / feats.abs().max().clamp(min=1e-30)
    logits = (unit.flatten(0, 1).flatten(1) * scale).clamp(-6e4, 6e4).to(dtype).requires_grad_()
    target = torch.rand(len(logits)) > 0.5
    region = torch.rand(logits.shape) > 0.5
    for samples in (None, 3):
        loss = importance_sampling_loss(logits, target, samples, region=region)
        loss.backward()
        assert all_finite(loss, logits.grad) and loss >= 0
    prediction = unit.softmax(dim=1).to(dtype).detach().requires_grad_()
    colours = torch.rand(len(feats), 3, *feats.shape[2:]).round(decimals=1)
    for radius in (None, 2):
        loss = feature_similarity_loss(
            colours, prediction, radius=radius, valid=region.new_ones(len(feats), *feats.shape[2:])
        )
        loss.backward()
        assert all_finite(loss, prediction.grad)
    flipped = feature_similarity_loss(colours.flip(3), prediction.flip(3))
    torch.testing.assert_close(flipped, feature_similarity_loss(colours, prediction), rtol=1e-3, atol=1e-5)
