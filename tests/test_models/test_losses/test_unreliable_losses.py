"""Losses that compare with the noise-aware one: by hand, at their extremes, and in a cosine head."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from bana_mm.functional import entropy
from bana_mm.registry import MODELS

ENTROPY = dict(type='bana_mm.EntropyLoss')
SOFT = dict(type='bana_mm.BootstrappingLoss')
HARD = dict(type='bana_mm.BootstrappingLoss', mode='hard')
ALL = pytest.mark.parametrize('config', [ENTROPY, SOFT, HARD], ids=['entropy', 'soft', 'hard'])

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(2, 4, 3, 5, generator=GENERATOR, dtype=torch.float64)
LABEL = torch.randint(0, 4, (2, 3, 5), generator=GENERATOR)
LABEL[0, 0] = 255
RELIABLE = torch.rand(2, 3, 5, generator=GENERATOR) < 0.5


def compute(config, logits=LOGITS, label=LABEL, reliable=RELIABLE, **kwargs):
    return MODELS.build({**config, **kwargs})(logits, label, reliable=reliable, temperature=20.0)


@pytest.mark.parametrize(
    'config, name, doubtful',
    [
        (ENTROPY, 'loss_entropy', 1.5),
        ({**SOFT, 'beta': 0.6}, 'loss_bootstrap', 0.6 * 2 + 0.4 * 1.5),
        ({**HARD, 'beta': 0.6}, 'loss_bootstrap', 0.6 * 2 + 0.4 * 1),
        (SOFT, 'loss_bootstrap', 0.95 * 2 + 0.05 * 1.5),
        (HARD, 'loss_bootstrap', 0.8 * 2 + 0.2 * 1),
    ],
)
def test_by_hand(config, name, doubtful):
    logits = torch.tensor([0.5, 0.25, 0.25]).log().view(1, 3, 1, 1).repeat(1, 1, 1, 4)
    label = torch.tensor([[[0, 1, 1, 255]]])  # a reliable pixel, two unreliable ones, one that is ignored
    reliable = torch.tensor([[[True, False, False, True]]])
    terms = compute(config, logits, label, reliable, balance=0.5, loss_weight=3.0)
    assert list(terms) == ['loss_ce', name]
    assert terms['loss_ce'].item() == pytest.approx(3 * math.log(2))
    assert terms[name].item() == pytest.approx(3 * 0.5 * doubtful * math.log(2))


@ALL
def test_reliable_term_is_the_noise_aware_loss(config):
    nal = compute(dict(type='bana_mm.NoiseAwareLoss'))
    torch.testing.assert_close(compute(config)['loss_ce'], nal['loss_ce'])


@pytest.mark.parametrize('config', [SOFT, HARD])
def test_beta_of_one_is_cross_entropy_of_each_region(config):
    doubtful = compute(config, beta=1.0, balance=1.0)['loss_bootstrap']
    target = LABEL.masked_fill(RELIABLE, 255)
    torch.testing.assert_close(doubtful, F.cross_entropy(LOGITS, target, ignore_index=255))


def test_uniform_prediction():
    terms = compute(ENTROPY, torch.zeros(2, 4, 3, 5), balance=1.0)
    assert terms['loss_entropy'].item() == pytest.approx(math.log(4))


def test_entropy_does_not_depend_on_unreliable_labels():
    other = torch.where(RELIABLE | (LABEL == 255), LABEL, (LABEL + 1) % 4)
    torch.testing.assert_close(compute(ENTROPY), compute(ENTROPY, label=other))
    doubted = ~RELIABLE & (LABEL != 255)
    expected = 0.1 * entropy(LOGITS.log_softmax(dim=1))[doubted].mean()
    torch.testing.assert_close(compute(ENTROPY)['loss_entropy'], expected)


@ALL
@pytest.mark.parametrize('case', ['no_unreliable', 'no_reliable', 'all_ignored'])
def test_missing_pixels_give_connected_zeros(config, case):
    logits = LOGITS.clone().requires_grad_()
    label = torch.full_like(LABEL, 255) if case == 'all_ignored' else LABEL
    loss_ce, doubtful = compute(config, logits, label, torch.full_like(RELIABLE, case != 'no_reliable')).values()
    assert (loss_ce == 0) == (case != 'no_unreliable') and (doubtful == 0) == (case != 'no_reliable')
    (loss_ce + doubtful).backward()
    assert logits.grad.isfinite().all() and logits.grad.eq(0).all() == (case == 'all_ignored')


@ALL
def test_no_balance_is_the_baseline(config):
    baseline = compute(dict(type='bana_mm.NoiseAwareLoss', balance=0.0))
    torch.testing.assert_close(sum(compute(config, balance=0.0).values()), sum(baseline.values()))


@ALL
def test_gradient(config):
    assert torch.autograd.gradcheck(lambda x: sum(compute(config, x).values()), LOGITS.clone().requires_grad_())


@ALL
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(config, dtype):
    logits = LOGITS.to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        terms = compute(config, logits)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    torch.testing.assert_close(terms, compute(config, logits.detach().float()))
    sum(terms.values()).backward()
    assert logits.grad.dtype == dtype and logits.grad.isfinite().all()


@ALL
@pytest.mark.parametrize('autocast', [False, True])
def test_in_a_cosine_head(config, autocast):
    head = MODELS.build(
        dict(
            type='bana_mm.CosineDecodeHead',
            head=dict(
                type='FCNHead',
                in_channels=8,
                channels=8,
                num_convs=0,
                concat_input=False,
                dropout_ratio=0,
                num_classes=4,
                align_corners=True,
                loss_decode=config,
            ),
        )
    )
    label = LABEL[:1]
    sample = SegDataSample(gt_sem_seg=PixelData(data=label), gt_reliable_map=PixelData(data=RELIABLE[:1]))
    feats = torch.randn(1, 8, 3, 5, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        terms = head.loss([feats], [sample], train_cfg=dict())
    logits = head([feats])
    expected = compute(config, logits, label, RELIABLE[:1])
    torch.testing.assert_close({name: terms[name] for name in expected}, expected)
    assert set(terms) == {*expected, 'acc_seg'}
    sum(terms[name] for name in expected).backward()
    assert feats.grad.isfinite().all() and feats.grad.ne(0).any()


@ALL
def test_asks_for_a_cosine_head(config):
    with pytest.raises(TypeError, match='Loss is given .*bana_mm.CosineDecodeHead'):
        MODELS.build(config)(LOGITS, LABEL)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(mode='tepid'), "'soft' or 'hard', got 'tepid'"),
        (dict(beta=1.5), 'beta must lie between 0 and 1, got 1.5'),
        (dict(balance=-1.0), 'BootstrappingLoss: balance must not be negative, got -1.0'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({**SOFT, **kwargs})
