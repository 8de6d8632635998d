"""Names of public DeepLab-V2 weights, such as those trained on COCO, turned into the names of mmseg's ResNet."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .checkpoint import weight_problems

# Wrappers for several scales or GPUs around the network.
_WRAPPERS = re.compile(r'^(?:(?:module|scale|base|backbone)\.)+', re.IGNORECASE)
# ResNet's own names, as in ports of Caffe's network that keep torchvision's: conv1, layer1.0.conv1, layer4.2.bn3
_RESNET = re.compile(r'^(?:conv1|bn1|layer[1-4]\.\d+\.(?:conv[123]|bn[123]|downsample\.[01]))\.\w+$')
# Names of the port in which the stem is a layer too: layer1.conv1.bn, layer2.block1.reduce.conv, layer5.block3.proj.bn
_STEM = re.compile(r'^layer1\.conv1\.(conv|bn)\.(\w+)$')
_BLOCK = re.compile(r'^layer([2-5])\.block(\d+)\.(reduce|conv3x3|increase|shortcut|proj)\.(conv|bn)\.(\w+)$')
_BRANCHES = dict(reduce=1, conv3x3=2, increase=3)


def convert_deeplabv2_weights(state: Mapping[str, Tensor], backbone: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """Rename the weights of a DeepLab-V2 so that a segmentor of mmseg with this backbone loads them.

    Two families of names are understood, with and without wrappers such as ``Scale.``: torchvision's, and those with
    ``layer2.block1.reduce.conv``. The head is left out, since it has other layers and classes than ours.

    Args:
        state (Mapping[str, Tensor]): Weights by public name.
        backbone (nn.Module): mmseg's ResNet, to check names and shapes; may lie on the meta device.

    Returns:
        tuple[dict[str, Tensor], list[str]]: The weights, named ``backbone.*``, and the public names left out.

    Raises:
        ValueError: If weights of the backbone are missing or of another shape.
    """
    converted, left_out = {}, []
    for name, value in state.items():
        new = _rename(_WRAPPERS.sub('', name))
        if new is None:
            left_out.append(name)
        else:
            converted[new] = value
    for name in [name for name in converted if name.endswith('.running_var')]:
        # old checkpoints do not count their batches, and nothing here uses the number
        converted.setdefault(name.replace('running_var', 'num_batches_tracked'), torch.tensor(0))
    problems = weight_problems(backbone, converted)
    if problems:
        raise ValueError(f'not the weights of this ResNet: {"; ".join(problems)}')
    return {f'backbone.{name}': value for name, value in converted.items()}, left_out


def _rename(name: str) -> str | None:
    """Name in the backbone, None for what is not part of it."""
    if _RESNET.match(name):
        return name
    if match := _STEM.match(name):
        kind, parameter = match.groups()
        return f'{kind}1.{parameter}'
    if match := _BLOCK.match(name):
        layer, block, branch, kind, parameter = match.groups()
        if branch in _BRANCHES:
            unit = f'{kind}{_BRANCHES[branch]}'
        else:
            unit = f'downsample.{int(kind == "bn")}'
        return f'layer{int(layer) - 1}.{int(block) - 1}.{unit}.{parameter}'
    return None
