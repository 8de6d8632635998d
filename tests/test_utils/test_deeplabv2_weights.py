"""Names of public DeepLab-V2 weights, on synthetic weights."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_state_dict
from mmseg.models.backbones import ResNet

from bana_mm.utils.deeplabv2_weights import convert_deeplabv2_weights

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'deeplabv2_coco.py'
UNITS = {
    'conv1': 'reduce.conv',
    'bn1': 'reduce.bn',
    'conv2': 'conv3x3.conv',
    'bn2': 'conv3x3.bn',
    'conv3': 'increase.conv',
    'bn3': 'increase.bn',
}


@pytest.fixture(scope='module')
def backbone():
    """Three blocks or more a layer, but narrow."""
    return ResNet(depth=50, base_channels=2, stem_channels=2, style='caffe')


def torchvision_names(state, wrapper=''):
    """Names of ports that follow torchvision, whose layer5 is the head; they count no batches."""
    public = {wrapper + name: value for name, value in state.items() if 'num_batches' not in name}
    for index in range(4):
        public[f'{wrapper}layer5.conv2d_list.{index}.weight'] = torch.zeros(3)
    return public


def block_names(state, wrapper='', shortcut='shortcut'):
    """Names of the port that numbers layers from the stem, and blocks from 1; its layer5 is not the head."""
    public = {f'{wrapper}aspp.c0.weight': torch.zeros(3), f'{wrapper}fc.bias': torch.zeros(3)}
    for name, value in state.items():
        if match := re.match(r'(conv|bn)1\.(.*)', name):
            public[f'{wrapper}layer1.conv1.{match[1]}.{match[2]}'] = value
            continue
        layer, block, rest = re.match(r'layer(\d)\.(\d+)\.(.*)', name).groups()
        unit, parameter = rest.rsplit('.', 1)
        unit = {'downsample.0': f'{shortcut}.conv', 'downsample.1': f'{shortcut}.bn', **UNITS}[unit]
        public[f'{wrapper}layer{int(layer) + 1}.block{int(block) + 1}.{unit}.{parameter}'] = value
    return public


@pytest.mark.parametrize(
    'rename, kwargs, left_out',
    [
        (torchvision_names, dict(), 4),
        (torchvision_names, dict(wrapper='Scale.'), 4),
        (torchvision_names, dict(wrapper='module.'), 4),
        (block_names, dict(), 2),
        (block_names, dict(wrapper='base.'), 2),
        (block_names, dict(wrapper='module.scale.', shortcut='proj'), 2),
    ],
)
def test_every_weight_finds_its_place(backbone, rename, kwargs, left_out):
    # every weight is made unlike all others, so that none can stand in for another
    state = {name: torch.full_like(value, number) for number, (name, value) in enumerate(backbone.state_dict().items())}
    converted, others = convert_deeplabv2_weights(rename(state, **kwargs), backbone)
    assert len(others) == left_out
    assert converted.keys() == {f'backbone.{name}' for name in state}
    for name, value in state.items():
        if 'num_batches' not in name:
            assert torch.equal(converted[f'backbone.{name}'], value), name
    assert all(value.dtype == torch.long for name, value in converted.items() if 'num_batches' in name)


def test_segmentor_loads_them(backbone):
    model = torch.nn.Module()
    model.backbone = ResNet(depth=50, base_channels=2, stem_channels=2, style='caffe')
    converted, _ = convert_deeplabv2_weights(block_names(backbone.state_dict()), backbone)
    load_state_dict(model, converted, strict=True)
    assert torch.equal(model.backbone.layer3[2].conv2.weight, backbone.layer3[2].conv2.weight)


def test_other_depth(backbone):
    state = torchvision_names(ResNet(depth=101, base_channels=2, stem_channels=2).state_dict())
    with pytest.raises(ValueError, match=r'it has unknown layer3\.10'):
        convert_deeplabv2_weights(state, backbone)


def test_incomplete_weights(backbone):
    state = torchvision_names(backbone.state_dict())
    del state['layer2.1.conv2.weight']
    state['conv1.weight'] = state['conv1.weight'][:1]
    with pytest.raises(ValueError, match=r'lacks layer2\.1\.conv2\.weight; conv1\.weight has shape \(1, 3, 7, 7\)'):
        convert_deeplabv2_weights(state, backbone)


def test_tool_names_the_file(backbone, tmp_path):
    torch.save(torchvision_names(backbone.state_dict()), tmp_path / 'narrow.pth')
    result = subprocess.run(
        [sys.executable, str(TOOL), str(tmp_path / 'narrow.pth'), str(tmp_path / 'out.pth')],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode and 'narrow.pth: not the weights of this ResNet: it lacks layer3' in result.stderr
    assert not (tmp_path / 'out.pth').exists()
