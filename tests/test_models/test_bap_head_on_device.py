"""The head never makes the host wait for the device, and builds nothing of the size boxes x channels x cells."""

import contextlib

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bana_mm.models.classifiers import BAPHead

CHANNELS, CELLS, PIXELS = 64, 41, 321
# These make tensors of Python numbers, which are copied to the device.
FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor)


class DataIsNeverMoved(TorchFunctionMode):
    """Fails where data are copied to the device 'meta'."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        assert func not in FROM_DATA or not result.is_meta, f'{func.__name__} copies to the device'
        return result


class Watch(TorchDispatchMode):
    """Fails where an operation needs tensors of both sides, and keeps the largest number of elements of a result.

    Operations that read a value back, such as ``item``, or whose result depends on values, such as ``nonzero``, fail on
    the device 'meta' by themselves.
    """

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        assert len({tensor.is_meta for tensor in tensors if tensor.dim()}) < 2, f'{func} copies between devices'
        self.largest = max(
            [self.largest, *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))]
        )
        return result


def make_sample(num_boxes, device):
    sample = DetDataSample(metainfo=dict(img_shape=(PIXELS, PIXELS), batch_input_shape=(PIXELS, PIXELS)))
    corner = torch.rand(num_boxes, 2) * 200
    for name, boxes in (('gt_instances', torch.cat([corner, corner + 80], dim=1)), ('ignored_instances', corner[:1])):
        boxes = boxes.repeat(1, 4 // boxes.size(1)).to(device)
        labels = torch.zeros(len(boxes), dtype=torch.long, device=device)
        setattr(sample, name, InstanceData(bboxes=HorizontalBoxes(boxes), labels=labels))
    return sample


def run_head(device, pooling='bap', num_boxes=(30, 0, 30)):
    """Loss and gradients; returns what a second pass does."""
    head = BAPHead(num_classes=20, in_channels=CHANNELS, pooling=pooling).to(device)
    feats = torch.rand(len(num_boxes), CHANNELS, CELLS, CELLS, device=device).requires_grad_()
    samples = [make_sample(num, device) for num in num_boxes]
    return lambda: head.loss(feats, samples)['loss_cls'].backward()


@pytest.mark.parametrize('pooling, num_boxes', [('bap', (30, 0, 30)), ('gap', (30, 0, 30)), ('bap', (0, 0))])
def test_no_value_crosses_and_no_tensor_is_large(monkeypatch, pooling, num_boxes):
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kwargs: contextlib.nullcontext())  # knows no meta device
    run = run_head('meta', pooling, num_boxes)
    with Watch() as watch, DataIsNeverMoved():
        run()
    features = CHANNELS * CELLS**2
    assert len(num_boxes) * features <= watch.largest
    assert watch.largest < max(60 * features / 4, 2 * len(num_boxes) * features)


@pytest.mark.parametrize(
    'wait',
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x + torch.ones(2).to('meta'),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: torch.as_tensor(3, device='meta'),
        lambda x: x.tolist(),
        lambda x: bool(x.any()),
    ],
)
def test_the_watch_notices(wait):
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError)), Watch(), DataIsNeverMoved():
        wait(torch.zeros(2, device='meta'))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_no_synchronisation_on_a_gpu():
    run = run_head('cuda')
    run()  # libraries may synchronise while they start
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode('default')
