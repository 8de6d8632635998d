"""The noise-aware loss of masks against the formula, written out pixel by pixel."""

import math

import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import confidence_map, noise_aware_mask_loss


def slow(logits, target, reliable, temperature, gamma, balance):
    trusted, doubted, weights = [], [], []
    for z, y, s in zip(logits.flatten().tolist(), target.flatten().tolist(), reliable.flatten().tolist()):
        loss = math.log1p(math.exp(-z if y else z))
        cosine = (z if y else -z) / (2 * temperature)
        if s:
            trusted.append(loss)
        else:
            doubted.append(loss)
            weights.append((max(1 + cosine, 1e-6) / (1 + abs(cosine))) ** gamma)
    ce = sum(trusted) / max(len(trusted), 1)
    wce = sum(w * x for w, x in zip(weights, doubted)) / sum(weights) if weights else 0.0
    return ce, balance * wce


@pytest.mark.parametrize('temperature, gamma, balance', [(20.0, 7.0, 0.1), (2.0, 3.0, 1.0)])
def test_values(temperature, gamma, balance):
    logits, target = torch.randn(2, 4, 5) * 6, torch.rand(2, 4, 5) > 0.5
    reliable = torch.rand(2, 4, 5) > 0.4
    terms = noise_aware_mask_loss(logits.double(), target, reliable, temperature, gamma, balance)
    assert torch.stack(terms).tolist() == pytest.approx(slow(logits, target, reliable, temperature, gamma, balance))


def test_by_hand():
    logits = torch.tensor([[[math.log(3), -math.log(4), 1.0, -1.0, 1.6]]])
    target = torch.tensor([[[1, 0, 1, 1, 0]]])
    reliable = torch.tensor([[[True, True, False, False, False]]])
    ce, wce = noise_aware_mask_loss(logits, target, reliable, temperature=1.0, gamma=1.0, balance=0.5)
    # reliable: probabilities 3/4 of the object and 4/5 of the background
    assert ce.item() == pytest.approx((math.log(4 / 3) + math.log(5 / 4)) / 2)
    # doubtful: cosines z / 2 of the label 0.5, -0.5 and -0.8; sigma 1, 0.5 / 1.5 and 0.2 / 1.8: weights 9, 3 and 1
    losses = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1)), math.log(1 + math.exp(1.6))
    assert wce.item() == pytest.approx(0.5 * (9 * losses[0] + 3 * losses[1] + losses[2]) / 13)


def test_reliable_everywhere_is_binary_cross_entropy():
    logits, target = torch.randn(3, 2, 2), torch.randint(0, 2, (3, 2, 2))
    ce, wce = noise_aware_mask_loss(logits, target, torch.ones(3, 2, 2, dtype=torch.bool))
    torch.testing.assert_close(ce, F.binary_cross_entropy_with_logits(logits, target.float()))
    assert wce == 0


def test_agreement_counts_as_it_is():
    logits = torch.tensor([[[3.0, -3.0, -3.0]]])
    target, reliable = torch.tensor([[[1, 0, 1]]]), torch.zeros(1, 1, 3, dtype=torch.bool)
    cosine = torch.stack((-logits, logits), 1) / 40
    assert confidence_map(cosine, target).flatten().tolist() == pytest.approx([1, 1, ((1 - 0.075) / 1.075) ** 7])
    right, wrong = math.log1p(math.exp(-3)), math.log1p(math.exp(3))
    sigma = (0.925 / 1.075) ** 7
    _, wce = noise_aware_mask_loss(logits, target, reliable, balance=1.0)
    assert wce.item() == pytest.approx((2 * right + sigma * wrong) / (2 + sigma))


@pytest.mark.parametrize('detach', [False, True])
def test_gradient(detach):
    logits = (torch.randn(1, 3, 3, dtype=torch.double) * 4).requires_grad_()
    target, reliable = torch.rand(1, 3, 3) > 0.5, torch.rand(1, 3, 3) > 0.5

    def loss(logits):
        return sum(noise_aware_mask_loss(logits, target, reliable, detach_confidence=detach))

    if not detach:
        assert torch.autograd.gradcheck(loss, logits)
    loss(logits).backward()
    assert logits.grad.isfinite().all() and logits.grad[~reliable].abs().sum() > 0


@pytest.mark.parametrize('value', [1e4, -1e4])
def test_far_logits(value):
    logits = torch.full((1, 2, 2), value, requires_grad=True)
    terms = noise_aware_mask_loss(logits, torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool))
    sum(terms).backward()
    assert all(term.isfinite() for term in terms) and logits.grad.isfinite().all()


def test_half_precision():
    logits, target, reliable = torch.randn(1, 4, 4) * 5, torch.rand(1, 4, 4) > 0.5, torch.rand(1, 4, 4) > 0.5
    half = noise_aware_mask_loss(logits.bfloat16(), target, reliable)
    full = noise_aware_mask_loss(logits.bfloat16().float(), target, reliable)
    assert all(term.dtype == torch.float32 for term in half)
    torch.testing.assert_close(half, full)


def test_errors():
    logits, reliable = torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'target must be of shape \(1, 2, 2\), got \(2, 2\)'):
        noise_aware_mask_loss(logits, torch.zeros(2, 2), reliable)
    with pytest.raises(ValueError, match='must be bool'):
        noise_aware_mask_loss(logits, logits, reliable.int())
