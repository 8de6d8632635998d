"""Maps of several views by hand, and what a constant background makes of them."""

import pytest
import torch

from bana_mm.functional import constant_background, label_rows, merge_views, power_background, unary_probability


def test_visual_words_and_seam_fusion_of_two_scales():
    views = [[[[4.0, -2]], [[2.0, 1]]], [[[-3.0, 6]], [[1.0, 2]]]]  # scale, mirrored or not, one class, two pixels
    views = [[torch.tensor(maps).view(1, 1, 2) for maps in scale] for scale in views]
    # each below zero cut off, the larger of both, sum over the scales: (4, 1) + (1, 6) = (5, 7)
    torch.testing.assert_close(merge_views(views), torch.tensor([[[5 / 7, 1.0]]]), atol=1e-5, rtol=0)
    # means (3, -.5) and (-1, 4), sum (2, 3.5), stretched from 2 to 3.5
    seam = merge_views(views, flip='mean', clip='sum', normalise='range')
    torch.testing.assert_close(seam, torch.tensor([[[0.0, 1.0]]]), atol=1e-4, rtol=0)
    single = merge_views([views[0][:1]])
    torch.testing.assert_close(single, torch.tensor([[[1.0, 0.0]]]), atol=1e-5, rtol=0)
    for option in ('flip', 'clip', 'normalise'):
        with pytest.raises(ValueError, match=f'{option} must be one of'):
            merge_views(views, **{option: 'median'})


def test_empty_and_dark_maps():
    assert merge_views([[torch.zeros(0, 3, 4)]]).shape == (0, 3, 4)
    for normalise in ('max', 'range'):
        assert (merge_views([[torch.full((2, 3, 4), -1.0)]], normalise=normalise) == 0).all()
    assert (power_background(torch.zeros(0, 3, 4)) == 1).all()


def test_unaries_against_a_constant_background():
    maps = torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 3)
    probability = unary_probability(constant_background(maps, 0.14), maps, torch.ones_like(maps, dtype=torch.bool))
    expected = torch.tensor([0.702661, 0.589040, 0.465057])
    torch.testing.assert_close(probability[1, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(probability.sum(0), torch.ones(1, 3))


def test_power_of_what_is_left():
    maps = torch.tensor([[0.5, 1.0, 0.0], [0.25, 0.0, 0.0]]).view(2, 1, 3)
    torch.testing.assert_close(power_background(maps), torch.tensor([[5.96e-8, 0.0, 1.0]]), atol=1e-10, rtol=1e-3)
    torch.testing.assert_close(power_background(maps, 1.0), torch.tensor([[0.5, 0.0, 1.0]]))


def test_labels_above_the_background():
    maps = torch.tensor([[0.5, 0.1, 0.0], [0.6, 0.0, 0.13]]).view(2, 1, 3)
    scores = torch.cat([constant_background(maps)[None], maps])
    assert label_rows(scores, torch.ones_like(maps, dtype=torch.bool)).tolist() == [[2, 0, 0]]
