"""Mean over a region."""

import pytest
import torch

from bana_mm.functional import region_mean


def test_counts_the_batch_as_one():
    values = torch.tensor([[[1.0, 2.0]], [[6.0, 100.0]]])
    region = torch.tensor([[[True, True]], [[True, False]]])
    assert region_mean(values, region).item() == 3


def test_empty_region():
    values = torch.rand(1, 2, 3, requires_grad=True)
    result = region_mean(values, torch.zeros(1, 2, 3, dtype=torch.bool))
    result.backward()
    assert result.item() == 0 and values.grad.eq(0).all()


@pytest.mark.parametrize('region', [torch.ones(1, 2, 3), torch.ones(2, 3, dtype=torch.bool)])
def test_bad_region(region):
    with pytest.raises(ValueError, match=r'bool of shape \(1, 2, 3\)'):
        region_mean(torch.rand(1, 2, 3), region)
