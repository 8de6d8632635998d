"""The dice loss on the reliable region: CondInst's where all is reliable, and by hand where not."""

import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import CondInstMaskHead
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from bana_mm.models.mask_heads import ReliableCondInstMaskHead
from bana_mm.structures import ReliableMasks

H, W, EPS = 32, 64, 5e-6
SETTINGS = dict(
    mask_feature_head=dict(
        in_channels=4, feat_channels=4, start_level=0, end_level=0, out_channels=2, mask_stride=8, num_stacked_convs=1
    ),
    num_layers=2,
    feat_channels=2,
    mask_out_stride=4,
    loss_mask=dict(type='mmdet.DiceLoss', use_sigmoid=True, eps=EPS),
)


@pytest.fixture
def masks():
    masks = np.random.default_rng(0).integers(0, 2, (2, H, W)).astype(np.uint8)
    return masks


@pytest.fixture
def logits():
    return torch.randn(3, H // 4, W // 4, requires_grad=True)


def loss(head, masks, logits, which=(1, 0, 1)):
    instances = InstanceData(bboxes=torch.zeros(2, 4), masks=masks)
    positive = InstanceData(pos_assigned_gt_inds=torch.tensor(which).long())
    logits.grad = None
    value = head.loss_by_feat([logits], [instances], [{}], [positive])['loss_mask']
    value.backward()
    return value.detach(), logits.grad


def dice(z, y):
    p = z.sigmoid()
    return 1 - 2 * (p * y).sum() / ((p * p).sum() + EPS + (y * y).sum() + EPS)


@pytest.mark.parametrize('limit', [-1, 2])
def test_reliable_everywhere_is_stock_bit_for_bit(masks, logits, limit):
    results, plain = [], BitmapMasks(masks, H, W)
    for cls, given in (
        (CondInstMaskHead, plain),
        (ReliableCondInstMaskHead, plain),
        (ReliableCondInstMaskHead, ReliableMasks(masks, H, W, np.zeros_like(masks))),
    ):
        torch.manual_seed(3)
        results.append(loss(cls(**SETTINGS, max_masks_to_train=limit), given, logits))
    for value, grad in results[1:]:
        assert torch.equal(value, results[0][0]) and torch.equal(grad, results[0][1])


@pytest.mark.parametrize('limit', [-1, 2])
def test_by_hand(masks, logits, limit):
    unreliable = np.random.default_rng(1).integers(0, 2, (2, H, W)).astype(np.uint8)
    head = ReliableCondInstMaskHead(**SETTINGS, max_masks_to_train=limit)
    torch.manual_seed(3)
    value, grad = loss(head, ReliableMasks(masks, H, W, unreliable), logits)
    torch.manual_seed(3)
    chosen = torch.randperm(3)[:limit].tolist() if limit > 0 else [0, 1, 2]
    targets, doubted = (torch.from_numpy(plane[[1, 0, 1], 2::4, 2::4]) for plane in (masks, unreliable))
    terms = [dice(logits[one][doubted[one] == 0], targets[one][doubted[one] == 0].float()) for one in chosen]
    expected = sum(terms) / len(terms)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(grad, torch.autograd.grad(expected, logits)[0])
    assert not grad[doubted > 0].any()


def test_masks_without_a_reliable_pixel_do_not_count(masks, logits):
    unreliable = np.zeros_like(masks)
    unreliable[0] = 1
    head = ReliableCondInstMaskHead(**SETTINGS)
    value, grad = loss(head, ReliableMasks(masks, H, W, unreliable), logits)
    targets = torch.from_numpy(masks[1, 2::4, 2::4]).float()
    torch.testing.assert_close(value, (dice(logits[0], targets) + dice(logits[2], targets)).detach() / 2)
    assert not grad[1].any()
    value, grad = loss(head, ReliableMasks(masks, H, W, np.ones_like(masks)), logits)
    assert value == 0 and not grad.any()


def test_no_positive_proposal(masks):
    logits = torch.zeros(0, H // 4, W // 4, requires_grad=True)
    value, grad = loss(ReliableCondInstMaskHead(**SETTINGS), ReliableMasks(masks, H, W, masks), logits, which=())
    assert value == 0 and grad.shape == logits.shape
