"""Confidence map and noise-aware loss against values by hand and the equations written out plainly."""

import math

import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import confidence_map, noise_aware_loss, noise_aware_loss_with_logits
from benchmarks.slow.nal import index_list_loss


def random_input(dtype=torch.float64, size=(2, 4, 5, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    cosine = torch.rand(size, generator=generator, dtype=dtype) * 1.8 - 0.9
    label = torch.randint(0, size[1], (size[0], *size[2:]), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.2] = 255
    reliable = torch.rand(label.shape, generator=generator) < 0.6
    return cosine, label, reliable


class TestConfidenceMap:
    def test_by_hand(self):
        cosine = torch.tensor([[0.5, -0.5, 0.0], [-0.25, 0.5, 1.0]]).T.reshape(1, 3, 1, 2)
        label = torch.tensor([[[1, 2]]])
        # pixel 0: D = 1.5, 0.5, 1.0, label 1 -> (0.5 / 1.5)^2; pixel 1: the label has the largest D
        torch.testing.assert_close(confidence_map(cosine, label, gamma=2.0), torch.tensor([[[1 / 9, 1.0]]]))

    def test_ignored_pixels_and_unit_exponent(self):
        cosine = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
        result = confidence_map(cosine, torch.tensor([[[0, 255]]]), gamma=1.0)
        assert result.tolist() == [[[0.5, 0.0]]]

    def test_large_gamma_keeps_only_agreeing_labels(self):
        cosine, label, _ = random_input()
        sigma = confidence_map(cosine, label, gamma=1e4)
        agrees = cosine.argmax(dim=1) == label
        assert sigma[agrees].eq(1).all() and sigma[~agrees & (label != 255)].lt(0.1).all()

    @pytest.mark.parametrize('value', [-1.0, -1.0 - 1e-6])
    def test_all_cosines_minus_one(self, value):
        cosine = torch.full((1, 3, 1, 1), value, requires_grad=True)
        sigma = confidence_map(cosine, torch.tensor([[[2]]]))
        sigma.sum().backward()
        assert sigma.item() == 1 and cosine.grad.isfinite().all()

    def test_shape_mismatch(self):
        with pytest.raises(ValueError, match=r'\(1, 3, 2, 2\) and \(1, 2, 3\)'):
            confidence_map(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 3, dtype=torch.long))


class TestNoiseAwareLoss:
    def test_by_hand(self):
        cosine = torch.tensor([[0.5, -0.5], [0.5, 0.0], [0.0, 0.5], [0.5, -0.5]]).T.reshape(1, 2, 1, 4)
        label = torch.tensor([[[0, 0, 0, 1]]])
        reliable = torch.tensor([[[True, True, False, False]]])
        loss_ce, loss_wce = noise_aware_loss(cosine, label, reliable, temperature=2.0, gamma=2.0, balance=0.5)
        # the reliable labels win by logits of 2 and 1
        assert loss_ce.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2)
        # the doubtful ones lose by logits of 1 and 2, with sigma (1 / 1.5)^2 and (0.5 / 1.5)^2: weights 4 to 1
        expected = (4 * math.log(1 + math.exp(1)) + math.log(1 + math.exp(2))) / 5
        assert loss_wce.item() == pytest.approx(0.5 * expected)
        assert loss_wce.item() != pytest.approx(0.5 * (math.log(1 + math.exp(1)) + math.log(1 + math.exp(2))) / 2)

    @pytest.mark.parametrize('detach', [False, True])
    @pytest.mark.parametrize('gamma', [1.0, 7.0])
    def test_values_and_gradients_of_plain_version(self, detach, gamma):
        cosine, label, reliable = random_input()
        grads = []
        for function, keyword in ((noise_aware_loss, 'detach_confidence'), (index_list_loss, 'detach')):
            leaf = cosine.clone().requires_grad_()
            terms = function(leaf, label, reliable, gamma=gamma, **{keyword: detach})
            (terms[0] + 3 * terms[1]).backward()
            grads.append((*(term.detach() for term in terms), leaf.grad))
        torch.testing.assert_close(grads[0], grads[1])

    def test_confidence_map_is_the_weight(self):
        cosine, label, reliable = random_input()
        doubted = ~reliable & (label != 255)
        each = F.cross_entropy(20 * cosine, label, ignore_index=255, reduction='none')
        sigma = confidence_map(cosine, label) * doubted
        expected = 0.1 * (sigma * each).sum() / sigma.sum()
        torch.testing.assert_close(noise_aware_loss(cosine, label, reliable)[1], expected)

    @pytest.mark.parametrize('detach', [False, True])
    def test_gradcheck(self, detach):
        cosine, label, reliable = random_input(size=(2, 3, 2, 3))

        def function(x):
            # sigma is constant only for the analytic gradient, so the detached one is checked where sigma is constant
            gamma = 0.0 if detach else 2.0
            return noise_aware_loss(x, label, reliable, temperature=3.0, gamma=gamma, detach_confidence=detach)

        assert torch.autograd.gradcheck(function, cosine.requires_grad_())

    def test_no_balance_is_mean_cross_entropy_over_reliable(self):
        cosine, label, reliable = random_input()
        loss_ce, loss_wce = noise_aware_loss(cosine, label, reliable, balance=0.0)
        target = label.masked_fill(~reliable, 255)
        torch.testing.assert_close(loss_ce, F.cross_entropy(20 * cosine, target, ignore_index=255))
        assert loss_wce == 0

    def test_everything_reliable_is_cross_entropy(self):
        cosine, label, reliable = random_input()
        loss_ce, loss_wce = noise_aware_loss(cosine, label, torch.ones_like(reliable))
        torch.testing.assert_close(loss_ce, F.cross_entropy(20 * cosine, label, ignore_index=255))
        assert loss_wce == 0

    @pytest.mark.parametrize('case', ['no_reliable', 'no_unreliable', 'all_ignored'])
    @pytest.mark.parametrize('detach', [False, True])
    def test_missing_pixels_give_connected_zeros(self, case, detach):
        cosine, label, reliable = random_input(torch.float32)
        reliable = torch.full_like(reliable, case != 'no_reliable')
        label = torch.full_like(label, 255) if case == 'all_ignored' else label
        cosine.requires_grad_()
        terms = noise_aware_loss(cosine, label, reliable, detach_confidence=detach)
        assert (terms[0] == 0) == (case != 'no_unreliable') and (terms[1] == 0) == (case != 'no_reliable')
        sum(terms).backward()
        assert cosine.grad.isfinite().all() and (cosine.grad.eq(0).all() == (case == 'all_ignored'))

    @pytest.mark.parametrize('detach', [False, True])
    def test_cosines_of_minus_one(self, detach):
        cosine = torch.full((1, 3, 2, 2), -1.0, requires_grad=True)
        label = torch.tensor([[[0, 1], [2, 0]]])
        terms = noise_aware_loss(cosine, label, torch.zeros(1, 2, 2, dtype=torch.bool), detach_confidence=detach)
        sum(terms).backward()
        assert terms[1].item() == pytest.approx(0.1 * math.log(3), rel=1e-5)
        assert cosine.grad.abs().max() < 1

    def test_ignored_pixels_get_no_gradient(self):
        cosine, label, reliable = random_input()
        cosine.requires_grad_()
        sum(noise_aware_loss(cosine, label, reliable)).backward()
        assert cosine.grad.movedim(1, -1)[label == 255].eq(0).all()
        assert cosine.grad.movedim(1, -1)[label != 255].ne(0).any(dim=1).all()

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        cosine, label, reliable = random_input(torch.float32)
        half = cosine.to(dtype).requires_grad_()
        expected = noise_aware_loss_with_logits(20 * half.detach().float(), label, reliable)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            terms = noise_aware_loss_with_logits(20 * half.float(), label, reliable)
            rounded = noise_aware_loss_with_logits((20 * half).requires_grad_(), label, reliable)
        assert terms[0].dtype == rounded[0].dtype == torch.float32
        torch.testing.assert_close(terms, expected)
        torch.testing.assert_close(rounded, expected, rtol=0.02, atol=0.02)
        sum(terms).backward()
        assert half.grad.isfinite().all()

    def test_backward_twice(self):
        cosine, label, reliable = random_input()
        cosine.requires_grad_()
        loss = sum(noise_aware_loss(cosine, label, reliable))
        (first,) = torch.autograd.grad(loss, cosine, retain_graph=True)
        (second,) = torch.autograd.grad(loss, cosine)
        assert torch.equal(first, second)

    def test_bad_reliable(self):
        cosine, label, reliable = random_input()
        with pytest.raises(ValueError, match='reliable must be bool'):
            noise_aware_loss(cosine, label, reliable.float())

    def test_every_confidence_below_the_smallest_float(self):
        """Two pixels that the network is sure are of another class; in float64 both sigmas are above zero."""
        cosine = torch.tensor([[-0.999999, 1.0], [-0.99999, 1.0]]).T.reshape(1, 2, 1, 2)
        label, reliable = torch.zeros(1, 1, 2, dtype=torch.long), torch.zeros(1, 1, 2, dtype=torch.bool)
        results = []
        for dtype in (torch.float32, torch.float64):
            leaf = cosine.to(dtype, copy=True).requires_grad_()
            loss_ce, loss_wce = noise_aware_loss(leaf, label, reliable, gamma=12.0)
            (loss_ce + loss_wce).backward()
            results.append((loss_wce.detach().double(), leaf.grad.double()))
        assert confidence_map(cosine, label, gamma=12.0).max() == 0
        assert results[0][0] > 1 and results[0][1].isfinite().all()
        torch.testing.assert_close(results[0], results[1], rtol=0.05, atol=1e-6)

    def test_no_image(self):
        cosine = torch.zeros(0, 3, 2, 2, requires_grad=True)
        label = torch.zeros(0, 2, 2, dtype=torch.long)
        loss_ce, loss_wce = noise_aware_loss(cosine, label, label.bool())
        (loss_ce + loss_wce).backward()
        assert loss_ce.item() == loss_wce.item() == 0
