"""Losses and costs that leave NaN targets out, by hand; and which target of SOLOv2 belongs to which instance."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import CrossEntropyLoss, DiceLoss
from mmdet.models.task_modules.assigners.match_cost import CrossEntropyLossCost, DiceCost
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from bana_mm.models.mask_heads import ReliableSOLOV2Head
from bana_mm.models.mask_heads.reliable_targets import ReliableCost, ReliableLoss, mark_unreliable, unreliable_planes
from bana_mm.structures import ReliableMasks

NAN = float('nan')


@pytest.fixture
def logits():
    return torch.randn(3, 4, 5, requires_grad=True)


@pytest.fixture
def targets():
    """Of three masks: some cells left out of the first, none of the second, all of the third."""
    targets = torch.randint(0, 2, (3, 4, 5)).float()
    targets[0, :2] = NAN
    targets[2] = NAN
    return targets


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_dice(logits, targets, dtype):
    loss = ReliableLoss(DiceLoss(eps=1e-3, loss_weight=2.0))
    value = loss(logits.to(dtype), targets, avg_factor=3)
    parts = []
    for z, y in ((logits[0, 2:], targets[0, 2:]), (logits[1], targets[1])):
        p = z.to(dtype).sigmoid()
        parts.append(1 - 2 * (p * y).sum() / ((p * p).sum() + (y * y).sum() + 2e-3))
    torch.testing.assert_close(
        value.float(), 2 * sum(parts).float() / 3, rtol=2e-3 if dtype == torch.float16 else 1e-5, atol=0
    )
    value.backward()
    assert not logits.grad[targets.isnan()].any() and logits.grad[1].any()
    assert loss.loss_weight == 2.0


def test_dice_of_single_masks(logits, targets):
    values = ReliableLoss(DiceLoss())(logits, targets, reduction_override='none')
    assert values.shape == (3,) and values[0] > 0 and values[2] == 0
    weighted = ReliableLoss(DiceLoss())(logits, targets, weight=torch.tensor([2.0, 1, 1]), reduction_override='none')
    torch.testing.assert_close(weighted, values * torch.tensor([2.0, 1, 1]))


def test_points(logits, targets):
    flat, wanted = logits.flatten(), targets.flatten()
    value = ReliableLoss(CrossEntropyLoss(use_sigmoid=True))(flat, wanted, avg_factor=60)
    kept = ~wanted.isnan()
    torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(flat[kept], wanted[kept]))
    nothing = ReliableLoss(CrossEntropyLoss(use_sigmoid=True))(flat, torch.full_like(wanted, NAN), avg_factor=60.0)
    nothing.backward()
    assert nothing == 0 and not logits.grad.any()


def test_without_nan_it_is_the_loss_itself(logits):
    for targets in (torch.ones(3, 4, 5), torch.ones(3, 4, 5, dtype=torch.bool), torch.ones(3, 4, 5, dtype=torch.uint8)):
        assert torch.equal(ReliableLoss(DiceLoss())(logits, targets), DiceLoss()(logits, targets))


@pytest.mark.parametrize('loss', [DiceLoss(activate=False), CrossEntropyLoss(use_sigmoid=False)])
def test_probabilities_are_refused(loss):
    with pytest.raises(ValueError, match=f'{type(loss).__name__}: .* needs a loss of logits'):
        ReliableLoss(loss)


@pytest.mark.parametrize('cost', [CrossEntropyLossCost(weight=5.0), DiceCost(weight=5.0, pred_act=True, eps=1.0)])
def test_costs_of_matching(cost):
    predicted = InstanceData(scores=torch.randn(4, 3), masks=torch.randn(4, 30))
    true = torch.randint(0, 2, (3, 30)).float()
    whole = InstanceData(labels=torch.tensor([0, 1, 2]), masks=true.clone())
    assert torch.equal(ReliableCost(cost)(predicted, whole), cost(predicted, whole))
    true[1, 10:], true[2] = NAN, NAN
    found = ReliableCost(cost)(predicted, InstanceData(labels=torch.tensor([0, 1, 2]), masks=true))
    torch.testing.assert_close(found[:, 0], cost(predicted, whole)[:, 0])
    seen = InstanceData(scores=predicted.scores, masks=predicted.masks[:, :10])
    wanted = InstanceData(labels=torch.tensor([1]), masks=true[1:2, :10])
    torch.testing.assert_close(found[:, 1], cost(seen, wanted)[:, 0])
    assert found.isfinite().all() and len(found[:, 2].unique()) == 1


def test_planes():
    masks = np.ones((2, 3, 4), np.uint8)
    device = torch.device('cpu')
    assert unreliable_planes(BitmapMasks(masks, 3, 4), device) is None
    assert unreliable_planes(ReliableMasks(masks, 3, 4, masks * 0), device) is None
    planes = unreliable_planes(ReliableMasks(masks, 3, 4, masks), device)
    assert planes.dtype == torch.bool and planes.all()
    marked = mark_unreliable(torch.tensor([[True, False]]), torch.tensor([[False, True]]))
    assert marked[0, 0] == 1 and marked[0, 1].isnan()


def test_every_target_of_solov2_has_the_unreliable_cells_of_its_own_instance():
    """Three instances, two of which share a level and overlap; an instance without a mask is in none."""
    head = ReliableSOLOV2Head(
        num_classes=3,
        in_channels=4,
        feat_channels=32,
        stacked_convs=1,
        num_grids=[8, 4],
        strides=[8, 8],
        scale_ranges=((1, 40), (30, 200)),
        norm_cfg=dict(type='GN', num_groups=4),
        mask_feature_head=dict(
            feat_channels=4, start_level=0, end_level=1, out_channels=4, mask_stride=4, norm_cfg=dict(type='BN')
        ),
        loss_mask=dict(type='mmdet.DiceLoss'),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
    )
    masks, unreliable = np.zeros((2, 4, 64, 64), np.uint8)
    boxes = [(0, 0, 16, 16), (8, 8, 60, 60), (4, 0, 24, 20), (40, 0, 60, 20)]
    for index, (x1, y1, x2, y2) in enumerate(boxes[:3]):
        masks[index, y1:y2, x1:x2] = 1
        unreliable[index, y1 : y1 + 4 * (index + 1), x1:x2] = 1  # of the targets, index + 1 rows
    instances = InstanceData(
        bboxes=torch.tensor(boxes).float(),
        labels=torch.tensor([0, 1, 2, 0]),
        masks=ReliableMasks(masks, 64, 64, unreliable),
    )
    marked, labels, positive, indices = head._get_targets_single(instances, featmap_sizes=[16, 16])
    instances.masks = BitmapMasks(masks, 64, 64)
    plain, *others = head._get_targets_single(instances, featmap_sizes=[16, 16])
    for ours, stock in zip((*labels, *positive), (*others[0], *others[1])):
        assert torch.equal(ours, stock)
    assert indices == others[2] and [len(level) > 0 for level in marked] == [True, True]
    seen = set()
    for level, stock in zip(marked, plain):
        for target, whole in zip(level, stock):
            rows = int(target.isnan().any(dim=1).sum())
            (owner,) = (n for n in range(3) if np.array_equal(masks[n, ::4, ::4], whole.numpy()))
            assert rows == owner + 1 and torch.equal(target[~target.isnan()], whole[~target.isnan()].float())
            seen.add(owner)
    assert seen == {0, 1, 2}
