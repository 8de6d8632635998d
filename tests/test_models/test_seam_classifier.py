"""SEAM's modules cell by cell, its losses put together, and a host of further losses."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from bana_mm.models.classifiers import seam_classifier
from bana_mm.models.classifiers.seam_classifier import PixelCorrelation, hardest_mean, strongest, weakest_mean
from bana_mm.registry import MODELS


@pytest.mark.parametrize('max_pairs', [2**24, 30])
def test_pixel_correlation_cell_by_cell(monkeypatch, max_pairs):
    monkeypatch.setattr(seam_classifier, 'MAX_PAIRS', max_pairs)
    module = PixelCorrelation([4], [2], 5)
    maps, inputs, lower = torch.rand(2, 3, 3, 4), torch.randn(2, 3, 9, 12), torch.randn(2, 4, 5, 6, requires_grad=True)
    refined = module(maps, inputs, [lower])
    reduced = F.relu(module.reduce[0](lower))
    parts = [F.interpolate(part, (3, 4), mode='bilinear', align_corners=True) for part in (inputs, reduced)]
    theta = module.embed(torch.cat(parts, 1))
    for n in range(2):
        for i in range(12):
            total, weight = 0, 0
            for j in range(12):
                cosine = F.cosine_similarity(theta[n, :, i // 4, i % 4], theta[n, :, j // 4, j % 4], dim=0).relu()
                total, weight = total + cosine * maps[n, :, j // 4, j % 4], weight + cosine
            torch.testing.assert_close(refined[n, :, i // 4, i % 4], total / weight, atol=1e-3, rtol=1e-3)
    refined.sum().backward()
    assert lower.grad is None and module.embed.weight.grad is not None
    with pytest.raises(ValueError, match='1 lower features need as many channels'):
        PixelCorrelation([4], [2, 2])


def test_parts_of_the_losses():
    maps = torch.tensor([[0.3, 0.9], [0.5, 0.2], [0.4, 0.6]]).view(1, 3, 1, 2)
    assert strongest(maps).flatten(1).tolist()[0] == pytest.approx([0.3, 0.9, 0.5, 0, 0, 0.6])
    classes = torch.tensor([[0.1, 0.4, -0.2, 0.8], [0.3, 0.2, -0.5, 0.0]]).view(1, 2, 2, 2)
    assert weakest_mean(classes, 0.5).item() == pytest.approx((0 + 0.3) / 2)  # highest: .3 .4 -.2 .8
    errors = torch.arange(10.0).view(1, 2, 5, 1)
    assert hardest_mean(errors, 0.2).item() == 8.5 and hardest_mean(errors, 0.0).item() == 9


def make_sample(labels):
    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), batch_input_shape=(64, 64)))
    boxes = HorizontalBoxes(torch.zeros(len(labels), 4))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor(labels).long())
    return sample


def build(losses=(), dropout=0.0):
    init_default_scope('mmdet')
    return MODELS.build(
        dict(
            type='bana_mm.SEAMClassifier',
            backbone=dict(
                type='mmdet.ResNet',
                depth=18,
                base_channels=4,
                strides=(1, 2, 1, 1),
                dilations=(1, 1, 2, 4),
                out_indices=(1, 2, 3),
            ),
            correlation=dict(in_channels=(8, 16), channels=(4, 4), out_channels=8),
            head=dict(type='bana_mm.ImageHead', num_classes=3, in_channels=32),
            dense_losses=losses,
            dropout=dropout,
            stride=8,
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3),
        )
    )


def slow_losses(model, inputs, present):
    """SEAM's losses from its maps, channel by channel; class 0 is the background."""
    shown = torch.cat([torch.ones(len(present), 1), present.float()], 1)[:, :, None, None]
    views = []
    for view in (inputs, F.interpolate(inputs, scale_factor=0.3, mode='bilinear', align_corners=True)):
        feats, maps, refined = model._view(view)
        logits = maps.mean((2, 3))
        views.append((maps, refined, F.multilabel_soft_margin_loss(logits, present.float())))

    def normalise(maps):
        maps = maps.relu()
        low, high = maps.flatten(2).min(2).values[..., None, None], maps.flatten(2).max(2).values[..., None, None]
        return (maps - low - 1e-5).relu() / (high - low + 1e-5)

    size = views[1][0].shape[2:]
    normalised = []
    for maps, refined, _ in views:
        maps, refined = (
            F.interpolate(normalise(one), size, mode='bilinear', align_corners=True) for one in (maps, refined)
        )
        maps = maps * shown[:, 1:]
        maps = torch.cat([1 - maps.max(1, keepdim=True).values, maps], 1)
        normalised.append((maps, refined * shown))
    (maps, refined), (small_maps, small_refined) = normalised
    er = (maps[:, 1:] - small_maps[:, 1:]).abs().mean()
    ecr = 0
    for target, one in ((small_maps, refined), (maps, small_refined)):
        best = target[:, 1:].max(1, keepdim=True).values
        target = torch.cat([target[:, :1], torch.where(target[:, 1:] < best, 0, target[:, 1:])], 1)
        errors = (target - one).abs().flatten(1).sort(1, descending=True).values
        ecr = ecr + errors[:, : int(errors.size(1) * 0.2)].mean()
    least = 0
    for _, one, _ in views:
        highest = (one * shown)[:, 1:].max(1).values.flatten(1).sort(1).values
        least = least + 0.5 * highest[:, : highest.size(1) // 4].relu().mean()
    return dict(loss_cls=(views[0][2] + views[1][2]) / 2, loss_er=er, loss_ecr=ecr, loss_min=least)


def test_losses():
    model = build().train()
    inputs = torch.randn(2, 3, 64, 64)
    losses = model.loss(inputs, [make_sample([0, 2]), make_sample([1])])
    present = torch.tensor([[True, False, True], [False, True, False]])
    for name, value in slow_losses(model, inputs, present).items():
        torch.testing.assert_close(losses[name], value, atol=1e-5, rtol=1e-4)


def test_hosts_further_losses_and_makes_refined_maps():
    model = build([dict(type='bana_mm.ImportanceSamplingLoss'), dict(type='bana_mm.FeatureSimilarityLoss')], 0.5)
    data = dict(
        inputs=list(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)),
        data_samples=[make_sample([0, 2]), make_sample([])],
    )
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert {'loss_cls', 'loss_isl', 'loss_fsl', 'loss_er', 'loss_ecr', 'loss_min', 'acc_image'} == set(losses)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    inputs = model.data_preprocessor(data)['inputs']
    feats, _, refined = model._view(inputs)
    torch.testing.assert_close(model.class_maps(inputs), refined[:, 1:])
    torch.testing.assert_close(model.extract_layers(inputs)['last'], feats)
    assert model.activation_maps(inputs[:1], torch.tensor([2])).shape == (1, 64, 64)
