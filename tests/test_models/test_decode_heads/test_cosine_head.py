"""Cosine decode heads over mmseg's heads."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models import BaseSegmentor
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import nn

from bana_mm.functional import noise_aware_loss_with_logits
from bana_mm.models.decode_heads import CosineClassifier, CosineDecodeHead
from bana_mm.registry import MODELS

NUM_CLASSES = 3
BN = dict(type='BN')
HEADS = dict(
    fcn=dict(type='FCNHead', in_channels=8, channels=6, num_convs=1),
    fcn_without_conv=dict(type='FCNHead', in_channels=8, channels=8, num_convs=0, concat_input=False, dropout_ratio=0),
    aspp=dict(type='ASPPHead', in_channels=8, channels=6, dilations=(1, 2)),
    sep_aspp=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=8,
        channels=6,
        dilations=(1, 2),
        c1_in_channels=4,
        c1_channels=2,
        norm_cfg=BN,
    ),
    uper=dict(type='UPerHead', in_channels=[4, 8], in_index=[0, 1], channels=6, pool_scales=(1, 2)),
    segformer=dict(type='SegformerHead', in_channels=[4, 8], in_index=[0, 1], channels=6, norm_cfg=BN),
    aspp_sum=dict(type='bana_mm.ASPPSumHead', in_channels=8, channels=6, dilations=(1, 2)),
    enc=dict(type='EncHead', in_channels=[4, 8], in_index=[0, 1], channels=6, num_codes=2, norm_cfg=BN),
)


def build(head, loss=None, **kwargs):
    loss = loss or dict(type='bana_mm.NoiseAwareLoss')
    return MODELS.build(
        dict(type='bana_mm.CosineDecodeHead', head=dict(num_classes=NUM_CLASSES, loss_decode=loss, **head), **kwargs)
    )


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, channels, size, size, generator=generator) for channels, size in ((4, 12), (8, 6)))


def samples(size=24, reliable=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for _ in range(2):
        label = torch.randint(0, NUM_CLASSES, (1, size, size), generator=generator)
        label[torch.rand(label.shape, generator=generator) < 0.1] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        if reliable:
            sample.gt_reliable_map = PixelData(data=torch.rand(label.shape, generator=generator) < 0.7)
        batch.append(sample)
    return batch


@pytest.mark.parametrize('config', HEADS.values(), ids=HEADS)
class TestEveryHead:
    def test_is_the_head_with_the_heads_state(self, config):
        head = build(config)
        plain = MMSEG_MODELS.build(dict(num_classes=NUM_CLASSES, **config))
        assert isinstance(head, type(plain)) and isinstance(head, CosineDecodeHead)
        assert head.state_dict().keys() == plain.state_dict().keys() - {'conv_seg.bias'}

    def test_logits_are_cosines(self, config):
        head = build(config, temperature=5.0).eval()
        head.init_weights()
        seen = []
        head.conv_seg.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
        with torch.no_grad():
            head.forward(features())
        feats, logits = seen
        expected = 5 * F.cosine_similarity(feats[:, None], head.conv_seg.weight[None], dim=2)
        torch.testing.assert_close(logits, expected)

    def test_losses(self, config):
        head = build(config, temperature=5.0)
        head.init_weights()
        batch, seen = samples(), []
        head.conv_seg.register_forward_hook(lambda _, inputs, output: seen.append(output))
        losses = head.loss(features(), batch, None)
        logits = F.interpolate(seen[0], size=(24, 24), mode='bilinear', align_corners=False)
        label = torch.stack([sample.gt_sem_seg.data[0] for sample in batch])
        reliable = torch.stack([sample.gt_reliable_map.data[0] for sample in batch])
        expected = noise_aware_loss_with_logits(logits, label, reliable, temperature=5.0)
        torch.testing.assert_close((losses['loss_ce'], losses['loss_wce']), expected)
        assert 'loss_nal' not in losses and 'acc_seg' in losses
        sum(value for key, value in losses.items() if 'loss' in key).backward()
        assert head.conv_seg.weight.grad.isfinite().all() and head.conv_seg.weight.grad.ne(0).any()


class TestLosses:
    def test_plain_losses_still_work_beside(self):
        head = build(
            HEADS['fcn'],
            loss=[
                dict(type='CrossEntropyLoss', loss_weight=2.0, avg_non_ignore=True),
                dict(type='bana_mm.NoiseAwareLoss', balance=0.0),
            ],
        )
        batch = samples(reliable=False)
        # Without a reliable map all pixels are reliable, so both are cross entropies, logged under one name.
        head_alone = build(HEADS['fcn'], loss=dict(type='CrossEntropyLoss', avg_non_ignore=True))
        head_alone.load_state_dict(head.state_dict())
        losses, alone = (module.eval().loss(features(), batch, None) for module in (head, head_alone))
        torch.testing.assert_close(losses['loss_ce'], 3 * alone['loss_ce'])
        assert losses['loss_wce'] == 0

    def test_smaller_reliable_map(self):
        head = build(HEADS['aspp_sum'], temperature=5.0).eval()
        batch = samples()
        for sample in batch:  # the preprocessor pads labels only
            sample.gt_sem_seg = PixelData(data=F.pad(sample.gt_sem_seg.data, (0, 8, 0, 4), value=255))
        padded = head.loss(features(), batch, None)
        for sample in batch:
            reliable = F.pad(sample.gt_reliable_map.data, (0, 8, 0, 4), value=False)
            sample.gt_reliable_map = PixelData(data=reliable)
        full = head.loss(features(), batch, None)
        torch.testing.assert_close(padded, full)

    def test_larger_reliable_map(self):
        batch = samples()
        batch[1].gt_sem_seg = batch[0].gt_sem_seg = PixelData(data=batch[0].gt_sem_seg.data[:, :20])
        with pytest.raises(ValueError, match=r'\(24, 24\) is larger than gt_sem_seg \(20, 24\)'):
            build(HEADS['fcn']).loss(features(), batch, None)

    def test_loss_outside_a_cosine_head(self):
        loss = dict(type='bana_mm.NoiseAwareLoss')
        head = MMSEG_MODELS.build(dict(num_classes=NUM_CLASSES, loss_decode=loss, **HEADS['fcn']))
        with pytest.raises(TypeError, match='bana_mm.CosineDecodeHead'):
            head.loss(features(), samples(), None)


class TestCosineClassifier:
    def test_zero_features_and_weights(self):
        classifier = CosineClassifier(2, 2, temperature=20.0)
        nn.init.zeros_(classifier.weight[:1].data)
        feats = torch.tensor([[0.0, 0.0], [3.0, 4.0]]).T.reshape(1, 2, 1, 2).requires_grad_()
        logits = classifier(feats)
        assert logits[..., 0].eq(0).all() and logits[0, 0].eq(0).all()
        logits[..., 1].sum().backward()
        assert feats.grad.isfinite().all() and classifier.weight.grad.isfinite().all()

    def test_scale_of_features_does_not_matter(self):
        classifier = CosineClassifier(4, 3, temperature=20.0)
        feats = torch.randn(1, 4, 2, 2)
        torch.testing.assert_close(classifier(1000 * feats), classifier(feats))

    @pytest.mark.parametrize('feats_dtype', [torch.float32, torch.bfloat16, torch.float16])
    def test_autocast_computes_in_float32(self, feats_dtype):
        classifier = CosineClassifier(512, 3, temperature=20.0)
        feats = (100 * torch.rand(1, 512, 2, 2)).to(feats_dtype)  # a norm over float16's largest number squared
        with torch.autocast('cpu', dtype=torch.bfloat16):
            logits = classifier(feats)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, classifier(feats.float()))

    def test_float64(self):
        classifier = CosineClassifier(2, 2, temperature=3.0).double()
        assert torch.autograd.gradcheck(classifier, torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True))


class TestRefusals:
    @pytest.mark.parametrize(
        'head, message',
        [
            (
                dict(type='PointHead', in_channels=[8], in_index=[0], channels=8),
                'PointHead .* no 1x1 convolution conv_seg',
            ),
            (dict(type='ASPPSumHead', in_channels=8, direct=True), 'ASPPSumHead .* no 1x1 convolution conv_seg'),
            (dict(type='VGG16LargeFOV'), "'VGG16LargeFOV' is no BaseDecodeHead"),
        ],
    )
    def test_no_classifier(self, head, message):
        with pytest.raises(TypeError, match=message):
            build(head)

    def test_unknown_and_missing_type(self):
        with pytest.raises(KeyError, match='NoSuchHead'):
            build(dict(type='NoSuchHead'))
        with pytest.raises(TypeError, match='key type'):
            build({})

    def test_single_output(self):
        with pytest.raises(ValueError, match='single output'):
            build(dict(HEADS['fcn'], out_channels=1, threshold=0.5))

    def test_pixel_sampler(self):
        with pytest.raises(ValueError, match='FCNHead.*`sampler`'):
            build(dict(HEADS['fcn'], sampler=dict(type='OHEMPixelSampler')))

    def test_temperature(self):
        with pytest.raises(ValueError, match='temperature'):
            build(HEADS['fcn'], temperature=0)

    def test_several_maps_at_first_loss(self):
        head = build(dict(type='DAHead', in_channels=8, channels=6, pam_channels=2))
        with pytest.raises(TypeError, match='DAHead .* gave 3 maps'):
            head.loss(features(), samples(), None)

    def test_forward_that_passes_conv_seg_by(self):

        class OwnClassifierHead(FCNHead):
            def forward(self, inputs):
                return self._forward_feature(inputs)

        head = build(dict(HEADS['fcn'], type=OwnClassifierHead))
        with pytest.raises(TypeError, match='OwnClassifierHead .* used conv_seg 0 times'):
            head.loss(features(), samples(), None)


def test_copy():
    head = build(HEADS['aspp']).eval()
    other = copy.deepcopy(head)
    assert type(other) is type(head)
    torch.testing.assert_close(other(features()), head(features()))


def test_decode_and_auxiliary_head_of_a_segmentor():
    head, auxiliary = (
        dict(
            type='bana_mm.CosineDecodeHead',
            head=dict(
                type='FCNHead',
                in_channels=8 * 2**index,
                channels=8,
                num_convs=1,
                in_index=index,
                num_classes=NUM_CLASSES,
                loss_decode=dict(type='bana_mm.NoiseAwareLoss', loss_weight=weight),
            ),
        )
        for index, weight in ((3, 1.0), (2, 0.4))
    )
    backbone = dict(type='ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN'))
    model: BaseSegmentor = MMSEG_MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=backbone,
            decode_head=head,
            auxiliary_head=auxiliary,
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )
    losses = model.loss(torch.randn(2, 3, 32, 32), samples(size=32))
    expected = {'loss_ce', 'loss_wce', 'acc_seg'}
    assert set(losses) == {f'{part}.{name}' for part in ('decode', 'aux') for name in expected}
