"""Two processes learn as one with the joined batch: losses and gradients, also where one has nothing to learn from."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from processes import in_two_processes

from bana_mm.functional import noise_aware_mask_loss
from bana_mm.models.losses import BootstrappingLoss, EntropyLoss, NoiseAwareLoss
from bana_mm.registry import MODELS

SIZE = (32, 40)
BACKBONE = dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=6, dropout=0.0)


def classifier(reduce):
    return MODELS.build(
        dict(
            type='bana_mm.BoxClassifier',
            backbone=BACKBONE,
            bap_head=dict(type='bana_mm.BAPHead', num_classes=3, in_channels=6, grid_size=2, reduce=reduce),
        )
    )


def segmentor(reduce):
    head = dict(
        type='FCNHead',
        in_channels=6,
        channels=6,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=4,
        align_corners=True,
        loss_decode=dict(type='bana_mm.NoiseAwareLoss', balance=0.7, reduce=reduce),
    )
    model = dict(
        type='mmseg.EncoderDecoder',
        backbone=BACKBONE,
        decode_head=dict(type='bana_mm.CosineDecodeHead', head=head),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(model)


def boxes(*given):
    sample = DetDataSample(metainfo=dict(img_shape=SIZE, batch_input_shape=SIZE))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(given, dtype=torch.float32).reshape(-1, 4), labels=torch.arange(len(given)) % 3
    )
    return sample


def labels(reliable=0.6, ignored=0.1):
    """Random labels with a share of reliable and of ignored pixels."""
    sample = SegDataSample(metainfo=dict(img_shape=SIZE))
    label = torch.randint(0, 4, (1, *SIZE)).masked_fill(torch.rand(1, *SIZE) < ignored, 255)
    sample.gt_sem_seg = PixelData(data=label)
    sample.gt_reliable_map = PixelData(data=torch.rand(1, *SIZE) < reliable)
    return sample


ALL, SOME, OTHER = (0, 0, 40, 32), (3, 4, 20, 30), (15, 0, 40, 12)
# Samples of the first and of the second process.
CASES = {
    'boxes in both': (classifier, lambda: [boxes(SOME)], lambda: [boxes(SOME, OTHER, OTHER)]),
    'no box in one': (classifier, lambda: [boxes(SOME, OTHER)], lambda: [boxes()]),
    'no background in one': (classifier, lambda: [boxes(ALL)], lambda: [boxes(OTHER)]),
    'nothing but a box': (classifier, lambda: [boxes(ALL)], lambda: [boxes(ALL, SOME)]),
    'two images each': (classifier, lambda: [boxes(), boxes(SOME)], lambda: [boxes(OTHER), boxes(ALL)]),
    'labels in both': (segmentor, lambda: [labels(0.9)], lambda: [labels(0.2)]),
    'nothing reliable in one': (segmentor, lambda: [labels(0)], lambda: [labels()]),
    'all reliable in one': (segmentor, lambda: [labels()], lambda: [labels(1)]),
    'nothing reliable': (segmentor, lambda: [labels(0)], lambda: [labels(0)]),
    'all reliable': (segmentor, lambda: [labels(1)], lambda: [labels(1)]),
    'all ignored in one': (segmentor, lambda: [labels(ignored=1)], lambda: [labels()]),
    'all ignored': (segmentor, lambda: [labels(ignored=1)], lambda: [labels(ignored=1)]),
}


@pytest.fixture(scope='module')
def batches():
    """Model, images and samples of each case, the halves of both processes one after the other."""
    made = {}
    for seed, (name, (build, first, second)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        samples = [first(), second()]
        images = [torch.randn(len(part), 3, *SIZE) for part in samples]
        made[name] = (build, images, samples)
    return made


def learn(model, images, samples):
    """The losses, twice in a row, and the gradients."""
    for _ in range(2):  # a parameter without gradient would stop the second step of a distributed model
        model.zero_grad()
        losses = {key: value for key, value in model(images, samples, mode='loss').items() if 'loss' in key}
        sum(value.sum() for value in losses.values()).backward()
    gradients = {name.removeprefix('module.'): one.grad.numpy() for name, one in model.named_parameters()}
    return {key: float(value) for key, value in losses.items()}, gradients


def built(build, reduce):
    torch.manual_seed(0)
    model = build(reduce)
    model.init_weights()
    return model.train()


def one_rank(rank, batches):
    found = {}
    for name, (build, images, samples) in batches.items():
        for reduce in ('global', 'local'):
            model = MMDistributedDataParallel(built(build, reduce))
            found[name, reduce] = learn(model, images[rank], samples[rank])
    return found


@pytest.fixture(scope='module')
def ranks(batches):
    return in_two_processes(one_rank, batches)


@pytest.mark.parametrize('name', CASES)
def test_the_joined_batch(batches, ranks, name):
    build, images, samples = batches[name]
    losses, gradients = learn(built(build, 'global'), torch.cat(images), [*samples[0], *samples[1]])
    found = [rank[name, 'global'] for rank in ranks]
    for key, value in losses.items():
        assert np.mean([rank[0][key] for rank in found]) == pytest.approx(value, rel=1e-5, abs=1e-6)
    assert any(np.abs(value).max() > 0 for value in gradients.values()) != (name == 'all ignored')
    for key, value in gradients.items():
        for _, gradient in found:
            np.testing.assert_allclose(gradient[key], value, rtol=1e-4, atol=1e-5 * max(1e-3, np.abs(value).max()))


@pytest.mark.parametrize('name', CASES)
def test_local_is_the_mean_of_what_each_has(batches, ranks, name):
    """The reference code's, and the default."""
    build, images, samples = batches[name]
    alone = [learn(built(build, 'local'), *part) for part in zip(images, samples)]
    for rank, (losses, _) in zip(ranks, alone):
        assert rank[name, 'local'][0] == pytest.approx(losses, rel=1e-5, abs=1e-6)
    for key in alone[0][1]:
        mean = sum(gradients[key] for _, gradients in alone) / 2
        np.testing.assert_allclose(
            ranks[0][name, 'local'][1][key], mean, rtol=1e-4, atol=1e-5 * max(1e-3, np.abs(mean).max())
        )


# Losses of pixels alone: a rank's gradient, by the two ranks that average it, is its part of the joined one.
def reliability(loss, **kwargs):
    def terms(logits, label, reliable, reduce):
        found = loss(balance=0.7, reduce=reduce, **kwargs)(logits, label, reliable=reliable, temperature=3.0)
        return list(found.values())

    return terms


def masks(logits, label, reliable, reduce):
    return list(noise_aware_mask_loss(logits[:, 0], label > 1, reliable, 3.0, balance=0.7, reduce=reduce))


LOSSES = dict(
    noise_aware=reliability(NoiseAwareLoss),
    detached=reliability(NoiseAwareLoss, detach_confidence=True),
    entropy=reliability(EntropyLoss),
    soft=reliability(BootstrappingLoss, mode='soft'),
    hard=reliability(BootstrappingLoss, mode='hard'),
    masks=masks,
)


def pixels(reliable, scale=3.0):
    label = torch.randint(0, 4, (1, 5, 6))
    return torch.randn(1, 4, 5, 6) * scale, label, torch.rand(1, 5, 6) < reliable


PIXELS = {
    'some in both': lambda: (pixels(0.8), pixels(0.3)),
    'none reliable in one': lambda: (pixels(0.0), pixels(0.5)),
    'all reliable in one': lambda: (pixels(0.5), pixels(1.0)),
    'one of each': lambda: (pixels(0.0), pixels(1.0)),
    'all reliable': lambda: (pixels(1.0), pixels(1.0)),
    'sure of the contrary': lambda: (pixels(0.0, 3e3), pixels(0.5, 3e3)),
}


def differentiate(call, logits, label, reliable, reduce):
    logits = logits.clone().requires_grad_()
    terms = call(logits, label, reliable, reduce)
    sum(terms).backward()
    return [float(term) for term in terms], logits.grad.numpy()


def each_loss(rank, cases):
    return {
        (name, case): differentiate(call, *halves[rank], 'global')
        for name, call in LOSSES.items()
        for case, halves in cases.items()
    }


def test_every_loss_of_pixels():
    cases = {}
    for seed, (case, make) in enumerate(PIXELS.items()):
        torch.manual_seed(seed)
        cases[case] = make()
    found = in_two_processes(each_loss, cases)
    for name, call in LOSSES.items():
        for case, halves in cases.items():
            joined = [torch.cat(parts) for parts in zip(*halves)]
            terms, gradient = differentiate(call, *joined, 'global')  # a single process: the same as 'local'
            assert (terms, gradient.tolist()) == (lambda t, g: (t, g.tolist()))(*differentiate(call, *joined, 'local'))
            both = [rank[name, case] for rank in found]
            np.testing.assert_allclose(np.mean([rank[0] for rank in both], axis=0), terms, rtol=1e-5, atol=1e-6)
            scale = np.abs(gradient).max()
            np.testing.assert_allclose(
                np.concatenate([rank[1] for rank in both]) / 2, gradient, rtol=1e-4, atol=1e-5 * max(scale, 1e-3)
            )


def test_other_words():
    for build in (
        lambda: NoiseAwareLoss(reduce='mean'),
        lambda: classifier('mean'),
        lambda: noise_aware_mask_loss(
            torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), reduce='mean'
        ),
        lambda: MODELS.build(dict(type='bana_mm.ReliableMaskHead', reduce='mean')),
    ):
        with pytest.raises(ValueError, match="reduce must be 'local' or 'global', got 'mean'"):
            build()
