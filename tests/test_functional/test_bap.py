"""The step in one against the steps in a row, and its gradients."""

import pytest
import torch

from bana_mm.functional import (
    background_attention,
    background_aware_features,
    background_aware_pool,
    background_queries,
    bap,
    box_bins,
    definite_background,
)
from benchmarks.slow.bap import loop_features

ROIS = torch.tensor([[2.0, 3, 4, 30, 28], [0, 10, 20, 11, 21], [0, 0, 0, 39, 30], [2, 20, 3, 38, 30]]).double()


@pytest.fixture
def feats():
    return torch.randn(4, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def background():
    sizes = torch.tensor([[33, 41]] * 4)
    mask = definite_background(ROIS, sizes, (33, 41))
    mask[3] = False  # image 3: no background, no box; image 1: no box
    return mask


def test_by_hand_at_stride_8():
    """A row of 25 pixels whose last one is background; the box from the middle of pixel 0 to that of pixel 20."""
    feats = torch.tensor([[1.0, 3, 4, 0], [0, 4, 3, 5]]).view(1, 2, 1, 4)
    background = torch.zeros(1, 1, 1, 25, dtype=torch.bool)
    background[..., 24] = True  # on which cell 3 is centred
    pooled, queries, valid = background_aware_features(
        feats, background, torch.tensor([[0, 0.5, 0, 20.5, 1]]), grid_size=1, spatial_scale=1 / 8, output_size=1
    )
    assert valid.tolist() == [[True]] and queries.tolist() == [[[0, 5]]]
    # A = 0, 0.8, 0.6 and 1; three samples at cells 5/12, 15/12, 25/12: cells count 7, 14, 14 and 1 twelfths
    weights = torch.tensor([7 * 1.0, 14 * 0.2, 14 * 0.4, 1 * 0.0])
    expected = (weights * feats[0, :, 0]).sum(dim=1) / weights.sum()
    torch.testing.assert_close(pooled.flatten(), expected)
    torch.testing.assert_close(pooled.flatten(), torch.tensor([27 / 11, 20 / 11]))


def in_a_row(feats, background, rois, use=None):
    queries, valid = background_queries(feats, background, 2)
    attention = background_attention(feats, queries, valid)
    if use is not None:
        attention = attention * use.view(-1, 1, 1, 1)
    return background_aware_pool(feats, rois, attention, 1 / 8), queries, valid


@pytest.mark.parametrize('use', [None, torch.tensor([True, True, False, True])])
@pytest.mark.parametrize('rois', [ROIS, ROIS[[3, 1, 0, 2]], ROIS[:0]])
def test_equals_the_steps_in_a_row(feats, background, rois, use):
    results, expected = [], []
    for function, out in ((in_a_row, expected), (background_aware_features, results)):
        inputs = feats.clone().requires_grad_()
        if function is in_a_row:
            pooled, queries, valid = function(inputs, background, rois, use)
        else:
            pooled, queries, valid = function(inputs, background, rois, 2, 1 / 8, use_attention=use)
        (pooled.pow(3).sum() + queries.pow(2).sum()).backward()
        out += [pooled.detach(), queries.detach(), valid, inputs.grad]
    for result, wanted in zip(results, expected):
        torch.testing.assert_close(result, wanted)


def test_equals_loops():
    """On a crop of 8 k + 1 pixels, of which every cell is one."""
    generator = torch.Generator().manual_seed(1)
    feats = torch.rand(3, 4, 6, 6, dtype=torch.float64, generator=generator)
    background = definite_background(ROIS[:3], [(41, 41)] * 3, (41, 41))
    background[1] = False
    results = []
    for function in (loop_features, background_aware_features):
        leaf = feats.clone().requires_grad_()
        pooled, queries, valid = function(leaf, background, ROIS[:3], 4, 1 / 8)
        (pooled.square().sum() + queries.pow(3).sum()).backward()
        results.append((pooled.detach(), queries.detach(), valid, leaf.grad))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize('min_bins', [0, 64])
def test_gradients(monkeypatch, feats, background, min_bins):
    monkeypatch.setattr(box_bins, 'MIN_BINS', min_bins)  # in bands, or dense

    def function(feats):
        return background_aware_features(feats, background, ROIS, 2, 1 / 8, counts=[2, 0, 2, 0])[:2]

    assert torch.autograd.gradcheck(function, feats.requires_grad_(), fast_mode=True)


def test_whole_batch_at_once_as_on_a_gpu(monkeypatch, feats, background):
    results = []
    for parts in (bap._parts, lambda tensors: [tensors]):
        monkeypatch.setattr(bap, '_parts', parts)
        leaf = feats.clone().requires_grad_()
        pooled, queries, _ = background_aware_features(leaf, background, ROIS, 2, 1 / 8)
        (pooled.pow(3).sum() + queries.pow(2).sum()).backward()
        results.append((pooled.detach(), queries.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


def test_channels_last_and_features_that_equal_their_query(background):
    # all features alike: the attention is 1 everywhere and nothing is left to pool
    feats = torch.ones(4, 3, 5, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    pooled, queries, valid = background_aware_features(feats, background, ROIS.float(), 2, 1 / 8)
    (pooled.sum() + queries.sum()).backward()
    assert feats.grad.isfinite().all() and pooled.abs().max() < 0.5
    torch.testing.assert_close(queries[valid], torch.ones(int(valid.sum()), 3))
