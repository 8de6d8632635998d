"""Visual words by hand: which word, how many, and how the codebook moves."""

import pytest
import torch

from bana_mm.functional import assign_words, update_codebook, word_decorrelation, word_sums

CODEBOOK = torch.eye(2)
FEATS = torch.tensor([[3.0, 0], [0, 2], [1, 1], [4, 0]]).T.reshape(1, 2, 1, 4)


def test_words_of_four_features():
    words = assign_words(FEATS, CODEBOOK)
    assert words.index.tolist() == [[0, 1, 0, 0]]  # the third is equally near to both
    torch.testing.assert_close(words.histogram, torch.tensor([[2.23106, 1.76894]]), atol=1e-5, rtol=0)
    assert words.histogram.sum().item() == pytest.approx(4)
    assert words.present.tolist() == [[True, True]]
    assert assign_words(FEATS[..., :1], CODEBOOK).present.tolist() == [[True, False]]
    histogram = assign_words(FEATS, CODEBOOK, temperature=10.0).histogram
    torch.testing.assert_close(histogram, torch.tensor([[2.49995, 1.50005]]), atol=1e-5, rtol=0)


def test_features_made_of_some_words_have_exactly_those():
    codebook = torch.nn.functional.normalize(torch.randn(12, 16), dim=1)
    chosen = torch.tensor([[1, 5, 5, 7], [0, 0, 0, 11]])
    feats = (codebook[chosen] * torch.rand(2, 4, 1).add(0.1)).transpose(1, 2).reshape(2, 16, 2, 2)
    words = assign_words(feats, codebook)
    assert words.index.tolist() == chosen.tolist()
    assert [row.nonzero().flatten().tolist() for row in words.present] == [[1, 5, 7], [0, 11]]


def test_region_leaves_positions_out():
    region = torch.tensor([[[False, True, True, False]]])
    words = assign_words(FEATS, CODEBOOK, region=region)
    alone = assign_words(FEATS[..., 1:3], CODEBOOK)
    assert words.index.tolist() == [[2, 1, 0, 2]]
    torch.testing.assert_close(words.histogram, alone.histogram)
    sums, counts = word_sums(FEATS, words.index, 2)
    assert sums.tolist() == [[1, 1], [0, 2]] and counts.tolist() == [1, 1]
    nothing = assign_words(FEATS, CODEBOOK, region=torch.zeros_like(region))
    assert not nothing.present.any() and nothing.histogram.tolist() == [[0, 0]]


def test_gradient_reaches_the_codebook_alone():
    feats, codebook = FEATS.clone().requires_grad_(), torch.rand(3, 2, requires_grad=True)
    histogram = assign_words(feats, codebook).histogram
    (histogram * torch.tensor([1.0, -2, 0.5])).sum().backward()
    assert feats.grad is None and codebook.grad.abs().sum() > 0
    double = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda book: assign_words(FEATS.double(), book, 3.0).histogram, (double,))


def test_moving_codebook():
    index = assign_words(FEATS, CODEBOOK).index
    moved = update_codebook(CODEBOOK, *word_sums(FEATS, index, 2), momentum=1e-3)
    torch.testing.assert_close(moved, torch.tensor([[1.001667, 0.000333], [0, 1.001]]), atol=1e-6, rtol=0)
    lonely = torch.tensor([[1.0, 0], [0, 1], [-1, -1]])
    moved = update_codebook(lonely, *word_sums(FEATS, assign_words(FEATS, lonely).index, 3), momentum=0.5)
    assert moved[2].tolist() == [-1, -1]  # nothing is near to it
    torch.testing.assert_close(moved[0], torch.tensor([0.5 + 0.5 * 8 / 3, 0.5 / 3]))


def test_decorrelation():
    alike = torch.tensor([[1.0, -1], [1, -1]])
    assert word_decorrelation(alike).item() == pytest.approx(0.585786, abs=1e-6)
    assert word_decorrelation(torch.tensor([[1.0, -1, 0, 0], [0, 0, 2, -2]])).item() == pytest.approx(0, abs=1e-6)
    assert torch.autograd.gradcheck(word_decorrelation, (torch.rand(3, 4, dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize('codebook', [torch.zeros(3, 4), torch.ones(3, 4), torch.rand(1, 4).expand(3, 4).clone()])
def test_equal_and_zero_words_have_finite_gradients(codebook):
    codebook.requires_grad_()
    feats = torch.cat([torch.zeros(1, 4, 2, 2), torch.rand(1, 4, 2, 2)])  # zero features too
    words = assign_words(feats, codebook)
    (word_decorrelation(codebook) + (words.histogram * torch.rand(2, 3)).sum()).backward()
    assert codebook.grad.isfinite().all() and words.histogram.isfinite().all()


def test_half_precision_is_computed_in_float32():
    feats, codebook = torch.rand(2, 8, 3, 3), torch.randn(5, 8)
    for dtype in (torch.float16, torch.bfloat16):
        half, full = assign_words(feats.to(dtype), codebook), assign_words(feats.to(dtype).float(), codebook)
        assert half.histogram.dtype == torch.float32 and half.index.equal(full.index)
        torch.testing.assert_close(half.histogram, full.histogram)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(assign_words(feats, codebook).histogram, assign_words(feats, codebook).histogram)
        assert word_decorrelation(codebook).dtype == torch.float32


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r'codebook must have shape \(k, 2\), got \(4, 3\)'):
        assign_words(FEATS, torch.rand(4, 3))
    with pytest.raises(ValueError, match='region must have shape'):
        assign_words(FEATS, CODEBOOK, region=torch.ones(1, 4, dtype=torch.bool))
