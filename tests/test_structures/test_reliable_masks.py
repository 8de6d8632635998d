"""Masks and their unreliable pixels stay together."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks

from bana_mm.structures import ReliableMasks

H, W = 6, 8


@pytest.fixture
def planes():
    generator = np.random.default_rng(0)
    return generator.integers(0, 2, (2, 3, H, W)).astype(np.uint8)


@pytest.fixture
def masks(planes):
    return ReliableMasks(planes[0], H, W, planes[1])


def test_is_a_bitmap(masks, planes):
    assert isinstance(masks, BitmapMasks) and len(masks) == 3
    assert np.array_equal(masks.to_ndarray(), planes[0]) and np.array_equal(masks.unreliable.to_ndarray(), planes[1])
    assert np.array_equal(masks.areas, planes[0].sum((1, 2)))
    assert torch.equal(masks.to_tensor(torch.bool, 'cpu'), torch.from_numpy(planes[0] > 0))


@pytest.mark.parametrize(
    'method, arguments',
    [
        ('resize', ((9, 12),)),
        ('rescale', ((16, 12),)),
        ('flip', ('horizontal',)),
        ('flip', ('diagonal',)),
        ('pad', ((10, 9),)),
        ('crop', (np.array([1, 2, 5, 6]),)),
        ('expand', (10, 12, 3, 2)),
        ('translate', ((H, W), 2)),
        ('translate', ((H + 2, W + 1), -1, 'vertical')),
        ('shear', ((H, W), 0.3)),
        ('rotate', ((H, W), 30)),
        ('__getitem__', (np.array([2, 0]),)),
        ('__getitem__', (np.array([], int),)),
        ('__getitem__', (1,)),
        ('__getitem__', (slice(1, None),)),
    ],
)
def test_both_planes_go_the_same_way(masks, planes, method, arguments):
    moved = getattr(masks, method)(*arguments)
    assert isinstance(moved, ReliableMasks)
    for plane, result in zip(planes, (moved, moved.unreliable)):
        expected = getattr(BitmapMasks(plane, H, W), method)(*arguments)
        assert np.array_equal(result.masks, expected.masks)
        assert (result.height, result.width) == (expected.height, expected.width)


def test_by_hand(masks, planes):
    turned = masks.flip('horizontal').crop(np.array([0, 0, 3, 2]))[[1]]
    assert np.array_equal(turned.unreliable.masks[0], planes[1, 1, :2, :-4:-1])
    padded = masks.pad((H, W + 1))
    assert not padded.unreliable.masks[..., -1].any()  # what is added is reliable background


def test_crop_and_resize_gives_the_masks(masks, planes):
    boxes, which = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([1])
    crop = masks.crop_and_resize(boxes, (2, 2), which)
    assert type(crop) is BitmapMasks
    expected = planes[0, 1, :4, :4].reshape(2, 2, 2, 2).mean((1, 3)) >= 0.5
    assert np.array_equal(crop.masks[0], expected)


def test_cat(masks, planes):
    both = ReliableMasks.cat([masks, BitmapMasks(planes[0][:1], H, W)])
    assert len(both) == 4 and np.array_equal(both.unreliable.masks[:3], planes[1])
    assert not both.unreliable.masks[3].any()


def test_no_instance():
    empty = ReliableMasks([], H, W, []).resize((12, 16)).flip().pad((20, 20))
    assert len(empty) == len(empty.unreliable) == 0 and empty.unreliable.masks.shape == (0, 20, 20)


def test_copies(masks):
    for other in (copy.deepcopy(masks), pickle.loads(pickle.dumps(masks))):
        assert np.array_equal(other.masks, masks.masks)
        assert np.array_equal(other.unreliable.masks, masks.unreliable.masks)


def test_errors(masks, planes):
    with pytest.raises(TypeError, match='CopyPaste and Albu'):
        ReliableMasks(planes[0], H, W)
    with pytest.raises(TypeError, match='CopyPaste and Albu'):
        masks.masks = np.zeros_like(planes[0])
    with pytest.raises(ValueError, match=r'\(3, 6, 8\), their unreliable pixels of \(2, 6, 8\)'):
        ReliableMasks(planes[0], H, W, planes[1][:2])
