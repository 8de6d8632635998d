"""The registered noise-aware loss."""

import pytest
import torch

from bana_mm.functional import noise_aware_loss
from bana_mm.registry import MODELS

GENERATOR = torch.Generator().manual_seed(0)
COSINE = torch.rand(2, 3, 4, 5, generator=GENERATOR) * 2 - 1
LABEL = torch.randint(0, 3, (2, 4, 5), generator=GENERATOR)
RELIABLE = torch.rand(2, 4, 5, generator=GENERATOR) < 0.5


def build(**kwargs):
    return MODELS.build(dict(type='bana_mm.NoiseAwareLoss', **kwargs))


@pytest.mark.parametrize('detach', [False, True])
def test_same_as_function(detach):
    loss = build(gamma=3.0, balance=0.5, detach_confidence=detach, loss_weight=2.0)
    leaves = [COSINE.clone().requires_grad_() for _ in range(2)]
    terms = loss(10 * leaves[0], LABEL, reliable=RELIABLE, temperature=10.0)
    expected = noise_aware_loss(leaves[1], LABEL, RELIABLE, 10.0, 3.0, 0.5, detach_confidence=detach)
    torch.testing.assert_close(tuple(terms.values()), tuple(2 * term for term in expected))
    for total in (sum(terms.values()), 2 * sum(expected)):
        total.backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


def test_given_lasts_for_its_block():
    loss = build()
    with loss.given(RELIABLE, 20.0):
        terms = loss(20 * COSINE, LABEL)
    torch.testing.assert_close(terms, loss(20 * COSINE, LABEL, reliable=RELIABLE, temperature=20.0))
    with pytest.raises(TypeError, match='bana_mm.CosineDecodeHead'):
        loss(20 * COSINE, LABEL)


def test_bad_arguments():
    with pytest.raises(ValueError, match='weight must be None'):
        build()(COSINE, LABEL, weight=torch.ones(2, 4, 5), temperature=20.0)
    with pytest.raises(ValueError, match='balance must not be negative, got -1'):
        build(balance=-1)
