"""The importance sampling loss by hand, as a mean of samples and as their expectation."""

import math

import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import importance_sampled_mean, importance_sampling_loss, multinomial_posterior

TWO = torch.tensor([[0.0, math.log(3)]])
PROPOSAL = torch.tensor([0.400002, 0.599998])


@pytest.mark.parametrize('target, value', [(1, 0.126928), (0, 2.126928)])
@pytest.mark.parametrize('seed', [0, 1])
def test_constant_logits_give_one_value_whatever_is_drawn(target, value, seed):
    generator = torch.Generator().manual_seed(seed)
    loss = importance_sampling_loss(torch.full((1, 9), 2.0), torch.tensor([target]), generator=generator)
    assert loss.item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize('target, value', [(1, 0.449869), (0, 1.109034)])
def test_expectation_of_two_positions(target, value):
    logits, target = TWO.clone().requires_grad_(), torch.tensor([target])
    exact = importance_sampling_loss(logits, target, num_samples=None)
    assert exact.item() == pytest.approx(value, abs=1e-6)
    sampled = importance_sampling_loss(TWO, target, 20000, generator=torch.Generator().manual_seed(0))
    assert sampled.item() == pytest.approx(value, abs=6e-3)
    exact.backward()
    slope = torch.sigmoid(TWO[0]) - target
    torch.testing.assert_close(logits.grad[0], PROPOSAL * slope, atol=1e-6, rtol=0)  # y = 1: (-.200001, -.150000)


def test_mixed_with_the_average():
    gap = F.binary_cross_entropy_with_logits(TWO.mean(), torch.tensor(1.0))
    assert gap.item() == pytest.approx(0.455746, abs=1e-6)
    exact = importance_sampling_loss(TWO, torch.ones(1), num_samples=None)
    assert (0.8 * gap + 0.2 * exact).item() == pytest.approx(0.454571, abs=1e-6)


def test_sampled_gradient_has_the_mean_of_the_exact_one():
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    target = torch.tensor([1, 0, 1])
    generator = torch.Generator().manual_seed(1)
    sampled, exact = (
        torch.autograd.grad(importance_sampling_loss(logits, target, k, generator=generator), logits)[0]
        for k in (20000, None)
    )
    torch.testing.assert_close(sampled, exact, atol=4e-3, rtol=0)


def test_the_same_generator_draws_the_same():
    logits = torch.randn(4, 50)
    first, second = (
        importance_sampling_loss(logits, torch.ones(4), generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert first == second
    assert first != importance_sampling_loss(logits, torch.ones(4), generator=torch.Generator().manual_seed(4))


def test_gradcheck_of_samples_and_expectation():
    logits = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    proposal = torch.rand(2, 5, dtype=torch.float64)  # held: finite differences would move sigmoid(z)
    target = torch.tensor([1, 0])

    def loss(z, samples):
        return importance_sampling_loss(z, target, samples, proposal, generator=torch.Generator().manual_seed(0))

    for samples in (None, 7):
        assert torch.autograd.gradcheck(loss, (logits, samples))


def test_region_and_rows_that_do_not_count():
    logits = torch.randn(3, 4)
    region = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    loss = importance_sampling_loss(logits, torch.ones(3), None, region=region)
    alone = [importance_sampling_loss(logits[:1, :2], torch.ones(1), None)]
    alone.append(importance_sampling_loss(logits[1:2], torch.ones(1), None))
    torch.testing.assert_close(loss, sum(alone) / 2)  # the third has no position
    one = importance_sampling_loss(
        logits, torch.ones(3), None, region=region, counted=torch.tensor([True, False, True])
    )
    torch.testing.assert_close(one, alone[0])


def test_a_peaked_and_an_even_proposal():
    logits = torch.randn(1, 6)
    peak = importance_sampling_loss(logits, torch.ones(1), 5, proposal=F.one_hot(torch.tensor([2]), 6), eps=0.0)
    torch.testing.assert_close(peak, F.softplus(-logits[0, 2]))
    even = importance_sampling_loss(logits, torch.ones(1), None, proposal=torch.ones(1, 6))
    torch.testing.assert_close(even, F.softplus(-logits).mean())  # the mean of the losses, not the loss of the mean


def test_multinomial_predecessor():
    logits = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    posterior, binary = multinomial_posterior(logits)
    expected = logits.exp()[:, 1:] / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(posterior, expected)
    p = 0.999 * expected[1, 2, 0, 1]
    assert binary[1, 2, 0, 1].item() == pytest.approx(math.log(p + 1e-3) - math.log(1 - p))
    certain = multinomial_posterior(torch.tensor([0.0, 1e4]).view(1, 2, 1, 1))[1]
    assert certain.item() == pytest.approx(math.log(1000), rel=1e-3)  # finite


@pytest.mark.parametrize('value', [1e4, -1e4, 0.0])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('samples', [None, 10])
def test_extreme_logits_and_half_precision_stay_finite(value, dtype, samples):
    for target in (torch.zeros(2), torch.ones(2)):
        logits = torch.full((2, 1), value, dtype=dtype, requires_grad=True)
        loss = importance_sampling_loss(logits, target, samples)
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize('samples', [None, 10])
def test_nothing_to_draw_from(samples):
    for rows, proposal in ((0, torch.ones(0, 4)), (2, torch.zeros(2, 4)), (2, torch.full((2, 4), float('nan')))):
        values = torch.rand(rows, 4, requires_grad=True)
        loss = importance_sampled_mean(values, proposal, samples)
        loss.backward()
        assert loss == 0 and (values.grad == 0).all()
    with pytest.raises(ValueError, match=r'must be \(M, P\)'):
        importance_sampled_mean(torch.rand(2, 3), torch.rand(2, 4))
