"""The feature similarity loss of segmentation models: which cells count, by hand, and inside a decode head."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from bana_mm.functional import feature_similarity_loss
from bana_mm.models.losses import SegFeatureSimilarityLoss
from bana_mm.registry import MODELS


def test_cells_that_are_fixed_and_cells_left_out():
    logits = torch.randn(1, 3, 4, 6)
    label = torch.zeros(1, 4, 6, dtype=torch.long)
    label[0, :2, :2] = 255  # the first cell
    label[0, 2, 0] = 255  # a quarter of the one below it
    reliable = torch.ones(1, 4, 6, dtype=torch.bool)
    reliable[0, 0, 2] = reliable[0, 3, 5] = reliable[0, 0, 0] = False  # the second, the last; the first is ignored
    images, visible = torch.rand(1, 3, 4, 6), torch.ones(1, 1, 4, 6, dtype=torch.bool)
    loss = SegFeatureSimilarityLoss(cell_size=2, sigma=2.0, radius=None, balance=0.5, loss_weight=3.0)
    with loss.given(reliable, 20.0, colours=(images, visible)):
        terms = loss(logits, label)
    cells = torch.stack([logits[:, :, y : y + 2, x : x + 2].mean((2, 3)) for y in (0, 2) for x in (0, 2, 4)], dim=2)
    colours = torch.stack([images[:, :, y : y + 2, x : x + 2].mean((2, 3)) for y in (0, 2) for x in (0, 2, 4)], dim=2)
    expected = feature_similarity_loss(
        colours.view(1, 3, 2, 3),
        cells.softmax(1).view(1, 3, 2, 3),
        sigma=2.0,
        valid=torch.tensor([[[False, True, True], [True, True, True]]]),
        fixed=torch.tensor([[[True, False, True], [True, True, False]]]),
    )
    torch.testing.assert_close(terms['loss_fsl'], 1.5 * expected)


def test_all_reliable_and_all_ignored_give_zero():
    logits = torch.randn(1, 3, 9, 9, requires_grad=True)
    colours = torch.rand(1, 3, 9, 9), torch.ones(1, 1, 9, 9, dtype=torch.bool)
    loss = SegFeatureSimilarityLoss()
    for label, reliable in ((0, True), (255, False)):
        with loss.given(torch.full((1, 9, 9), reliable), 20.0, colours=colours):
            term = loss(logits, torch.full((1, 9, 9), label))['loss_fsl']
        assert term == 0 and (torch.autograd.grad(term, logits)[0] == 0).all()


def test_bad_input():
    with pytest.raises(ValueError, match='cell_size must be at least 1'):
        SegFeatureSimilarityLoss(cell_size=0)
    loss = SegFeatureSimilarityLoss()
    with pytest.raises(TypeError, match='KeepColours'), loss.given(torch.ones(1, 8, 8, dtype=torch.bool), 20.0):
        loss(torch.randn(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long))


def make_sample(size, colours):
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 16, 16)))
    sample.gt_reliable_map = PixelData(data=torch.rand(1, 16, 16) > 0.5)
    if colours:
        sample.gt_colours = PixelData(data=torch.randint(0, 256, (3, *size), dtype=torch.uint8))
    return sample


def test_beside_the_noise_aware_loss_in_a_head():
    init_default_scope('mmseg')
    head = MODELS.build(
        dict(
            type='bana_mm.CosineDecodeHead',
            head=dict(
                type='FCNHead',
                in_channels=4,
                channels=4,
                num_convs=0,
                concat_input=False,
                num_classes=3,
                loss_decode=[
                    dict(type='bana_mm.NoiseAwareLoss'),
                    dict(type='bana_mm.SegFeatureSimilarityLoss', cell_size=4),
                ],
            ),
        )
    )
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    samples = [make_sample((16, 16), True), make_sample((12, 10), True)]  # the second is padded
    losses = head.loss_by_feat(logits, samples)
    assert {'loss_ce', 'loss_wce', 'loss_fsl'} <= set(losses)
    losses['loss_fsl'].backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0
    with pytest.raises(TypeError, match='needs the colours'):
        head.loss_by_feat(logits, [*samples[:1], make_sample((16, 16), False)])
