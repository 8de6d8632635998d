"""Products in bands against dense ones."""

import pytest
import torch

from bana_mm.functional import banded


@pytest.fixture
def case():
    """60 rows of weights over a few cells each; one has none."""
    feats = torch.randn(2, 5, 50, dtype=torch.float64)
    weight = torch.zeros(2, 60, 50, dtype=torch.float64)
    for image in range(2):
        for row in range(1, 60):
            start = int(torch.randint(0, 45, ()))
            weight[image, row, start:start + 5] = torch.rand(5, dtype=torch.float64)
    return weight, feats


@pytest.mark.parametrize('cells', [1, 7, 50, 256])
@pytest.mark.parametrize('min_rows', [0, 64])
def test_same_as_dense(monkeypatch, case, cells, min_rows):
    monkeypatch.setattr(banded, 'CELLS', cells)
    monkeypatch.setattr(banded, 'MIN_ROWS', min_rows)
    weight, feats = case
    expected = torch.einsum('nrp,ndp->nrd', weight, feats)
    torch.testing.assert_close(banded.weighted_sums(weight, feats), expected)
    grad = torch.randn_like(expected)
    out = torch.full_like(feats, float('nan'))
    assert banded.spread_(out, grad, weight) is out
    torch.testing.assert_close(out, torch.einsum('nrd,nrp->ndp', grad, weight))


def test_channels_last_features(monkeypatch, case):
    monkeypatch.setattr(banded, 'MIN_ROWS', 0)
    weight, feats = case
    last = feats.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(banded.weighted_sums(weight, last), banded.weighted_sums(weight, feats))
    grad, out = torch.randn(2, 60, 5, dtype=torch.float64), torch.empty_like(last)
    banded.spread_(out, grad, weight)
    torch.testing.assert_close(out, torch.einsum('nrd,nrp->ndp', grad, weight))


def test_bands_without_any_weight(monkeypatch):
    monkeypatch.setattr(banded, 'MIN_ROWS', 0)
    monkeypatch.setattr(banded, 'CELLS', 4)
    weight, feats = torch.zeros(1, 3, 10), torch.randn(1, 2, 10)
    weight[0, 0, 0] = 1
    assert banded.weighted_sums(weight, feats)[0, 1:].eq(0).all()
    out = torch.full((1, 2, 10), 7.)
    banded.spread_(out, torch.ones(1, 3, 2), weight)
    assert out.sum() == 2
