"""Products in bands against dense ones."""

import pytest
import torch

from bana_mm.functional import box_bins


@pytest.fixture
def case():
    """Two images of 30 boxes with 2 x 2 bins over a 5 x 10 grid; one box has no weight at all."""
    generator = torch.Generator().manual_seed(0)
    rows, cols = torch.zeros(2, 30, 2, 5).double(), torch.zeros(2, 30, 2, 10).double()
    for axis in (rows, cols):
        for weight in axis[:, 1:].flatten(0, 2):
            start = int(torch.randint(0, len(weight) - 1, (), generator=generator))
            weight[start : start + 2] = torch.rand(2, generator=generator).double()
    return rows, cols, torch.randn(2, 5, 50, generator=generator).double()


def dense(rows, cols):
    return torch.einsum('nrih,nrjw->nrijhw', rows, cols).flatten(4).flatten(1, 3)


@pytest.mark.parametrize('cells', [1, 20, 32, 256])
@pytest.mark.parametrize('min_bins', [0, 1000])
def test_same_as_dense(monkeypatch, case, cells, min_bins):
    monkeypatch.setattr(box_bins, 'CELLS', cells)
    monkeypatch.setattr(box_bins, 'MIN_BINS', min_bins)
    rows, cols, feats = case
    keep = torch.rand(2, 50).double()
    sums, total = box_bins.BoxBins(rows, cols).sums(keep, feats)
    weight = dense(rows, cols) * keep[:, None]
    torch.testing.assert_close(sums, torch.einsum('nrp,ndp->nrd', weight, feats))
    torch.testing.assert_close(total[..., 0], weight.sum(dim=2))
    grad, out = torch.randn_like(sums), torch.full_like(feats, float('nan'))
    assert box_bins.BoxBins(rows, cols).spread_(out, grad) is out
    torch.testing.assert_close(out, torch.einsum('nrd,nrp->ndp', grad, dense(rows, cols)))


def test_map_of_bins(case):
    rows, cols, _ = case
    values = torch.randn(2, 120).double()
    expected = torch.einsum('nr,nrp->np', values, dense(rows, cols))
    torch.testing.assert_close(box_bins.BoxBins(rows, cols).map(values), expected)


def test_channels_last_features(monkeypatch, case):
    monkeypatch.setattr(box_bins, 'MIN_BINS', 0)
    rows, cols, feats = case
    last = feats.transpose(1, 2).contiguous().transpose(1, 2)
    keep = torch.ones(2, 50).double()
    bins = box_bins.BoxBins(rows, cols)
    torch.testing.assert_close(bins.sums(keep, last), bins.sums(keep, feats))
    grad, out = torch.randn(2, 120, 5).double(), torch.empty_like(last)
    box_bins.BoxBins(rows, cols).spread_(out, grad)
    torch.testing.assert_close(out, torch.einsum('nrd,nrp->ndp', grad, dense(rows, cols)))


@pytest.mark.parametrize('boxes', [0, 1])
@pytest.mark.parametrize('min_bins', [0, 64])
def test_bands_without_any_weight(monkeypatch, boxes, min_bins):
    monkeypatch.setattr(box_bins, 'MIN_BINS', min_bins)
    monkeypatch.setattr(box_bins, 'CELLS', 4)
    rows, cols, feats = torch.zeros(1, boxes, 1, 3), torch.zeros(1, boxes, 1, 4), torch.randn(1, 2, 12)
    rows[:, :, 0, 0], cols[:, :, 0, 0] = 1, 1
    sums, _ = box_bins.BoxBins(rows, cols).sums(torch.ones(1, 12), feats)
    torch.testing.assert_close(sums, feats[None, 0, :, 0].expand(1, boxes, 2))
    out = torch.full((1, 2, 12), 7.0)
    box_bins.BoxBins(rows, cols).spread_(out, torch.ones(1, boxes, 2))
    assert out.sum() == 2 * boxes and box_bins.BoxBins(rows, cols).map(torch.ones(1, boxes)).sum() == boxes
