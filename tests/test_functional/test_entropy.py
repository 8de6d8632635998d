"""Entropy of predictions."""

import math

import pytest
import torch

from bana_mm.functional import entropy


@pytest.mark.parametrize('num_classes', [2, 21])
def test_uniform_prediction(num_classes):
    result = entropy(torch.zeros(1, num_classes, 2, 3).log_softmax(dim=1))
    torch.testing.assert_close(result, torch.full((1, 2, 3), math.log(num_classes)))


def test_by_hand():
    probability = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)
    assert entropy(probability.log()).item() == pytest.approx(1.5 * math.log(2))


def test_certain_prediction():
    logits = torch.tensor([400.0, 0.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    result = entropy(logits.log_softmax(dim=1))
    result.sum().backward()
    assert result.item() == 0 and logits.grad.eq(0).all()


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: entropy(x.log_softmax(dim=1)), logits)
