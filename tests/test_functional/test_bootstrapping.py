"""Bootstrapping against values by hand and its two extremes."""

import math

import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import bootstrapped_cross_entropy, entropy

# one pixel with probabilities 1/2, 1/4, 1/4
PIXEL = torch.tensor([0.5, 0.25, 0.25]).log().view(1, 3, 1, 1)


def random_input():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 4, (2, 3, 5), generator=generator)
    label[0, 0] = 255
    return logits, label


@pytest.mark.parametrize('hard, expected', [(False, 0.6 * 2 + 0.4 * 1.5), (True, 0.6 * 2 + 0.4 * 1)])
def test_by_hand(hard, expected):
    result = bootstrapped_cross_entropy(PIXEL, torch.tensor([[[1]]]), beta=0.6, hard=hard)
    assert result.shape == (1, 1, 1) and result.item() == pytest.approx(expected * math.log(2))


@pytest.mark.parametrize('hard', [False, True])
def test_beta_of_one_is_cross_entropy(hard):
    logits, label = random_input()
    result = bootstrapped_cross_entropy(logits.log_softmax(dim=1), label, beta=1.0, hard=hard)
    torch.testing.assert_close(result, F.cross_entropy(logits, label, ignore_index=255, reduction='none'))


def test_beta_of_zero_forgets_the_label():
    logits, label = random_input()
    log_probability = logits.log_softmax(dim=1)
    used = label != 255
    soft = bootstrapped_cross_entropy(log_probability, label, beta=0.0)
    torch.testing.assert_close(soft[used], entropy(log_probability)[used])
    hard = bootstrapped_cross_entropy(log_probability, label, beta=0.0, hard=True)
    own = F.cross_entropy(logits, logits.argmax(dim=1), reduction='none')
    torch.testing.assert_close(hard[used], own[used])


@pytest.mark.parametrize('hard', [False, True])
def test_ignored_pixels(hard):
    logits, label = random_input()
    logits.requires_grad_()
    result = bootstrapped_cross_entropy(logits.log_softmax(dim=1), label, beta=0.7, hard=hard)
    result.sum().backward()
    assert result[label == 255].eq(0).all() and result[label != 255].gt(0).all()
    assert logits.grad[0, :, 0].eq(0).all() and logits.grad[1].ne(0).all()


@pytest.mark.parametrize('hard', [False, True])
def test_gradient(hard):
    logits, label = random_input()
    assert torch.autograd.gradcheck(
        lambda x: bootstrapped_cross_entropy(x.log_softmax(dim=1), label, beta=0.7, hard=hard), logits.requires_grad_()
    )


def test_soft_gradient_goes_through_the_prediction():
    logits = PIXEL.clone().requires_grad_()
    label = torch.tensor([[[1]]])
    bootstrapped_cross_entropy(logits.log_softmax(dim=1), label, beta=0.0).sum().backward()
    # dh / dlogit = -H (log H + h), with h = 1.5 log 2
    expected = math.log(2) * torch.tensor([-0.5 * 0.5, 0.25 * 0.5, 0.25 * 0.5]).view(1, 3, 1, 1)
    torch.testing.assert_close(logits.grad, expected)
