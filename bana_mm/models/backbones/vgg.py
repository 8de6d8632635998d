"""VGG-16 with a large field of view, the backbone of the classifier and of DeepLab-V1."""

import logging
from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from bana_mm.registry import MODELS

# Convolutions of the five blocks; their names in Caffe are conv1_1 ... conv5_3.
BLOCK_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
BLOCK_STRIDES = (2, 2, 2, 1, 1)


def map_vgg_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a public VGG-16 to the names used here.

    Understood are torchvision's names (``features.0.weight``; also used by ``open-mmlab://vgg16_caffe``), Caffe's
    (``conv1_1.weight``, ``fc6.weight``), each behind any prefix such as ``module.`` or ``backbone.``, inside a
    ``state_dict`` entry or not. Other entries, such as a 7x7 fc6 as matrix, are dropped.

    Args:
        state (Mapping[str, Tensor]): A checkpoint or its state dict.

    Returns:
        dict[str, Tensor]: Weights named ``features.N.*``, ``fc6.*`` and ``fc7.*``.
    """
    state = state.get('state_dict', state)
    caffe_names, index = {}, 0
    for block, widths in enumerate(BLOCK_WIDTHS, start=1):
        for layer in range(1, len(widths) + 1):
            caffe_names[f'conv{block}_{layer}'] = f'features.{index}'
            index += 2  # convolution and ReLU
        index += 1  # pooling
    known = {*caffe_names.values(), 'fc6', 'fc7'}
    mapped = {}
    for key, value in state.items():
        parts = key.split('.')
        kind, layer = parts[-1], parts[-2] if len(parts) > 1 else ''
        name = f'features.{layer}' if 'features' in parts[-3:-2] else caffe_names.get(layer, layer)
        if kind in ('weight', 'bias') and name in known:
            mapped[f'{name}.{kind}'] = value
    return mapped


@MODELS.register_module()
class VGG16LargeFOV(BaseModule):
    """VGG-16 at output stride 8 with fc6 and fc7 as convolutions (AffinityNet's variant, the reference code's).

    Pools are 3x3 with padding 1 and strides 2, 2, 2, 1, 1; the convolutions of block 5 are dilated by 2; a 3x3 average
    pool follows block 5; Dropout2d follows fc6 and fc7. Feature cell i is centred on image pixel 8 i.

    Args:
        out_layer (str): 'fc7' (reference code), or 'conv5_3' for a network that ends with the last of the 13
            convolutions, after its ReLU and before the pools: all its layers are in every public VGG-16, so none
            starts at random (ours). fc6, fc7 and dropout do not exist then. Defaults to 'fc7'.
        fc6_dilation (int): Dilation of the 3x3 fc6: 1 for the classifier, 12 for DeepLab-V1 (LargeFOV). Defaults to 1.
        out_channels (int): Channels of fc6 and fc7. Defaults to 1024.
        width_mult (float): Scales the channels of the 13 convolutions, for small data. Defaults to 1.0.
        dropout (float): Probability of Dropout2d. Defaults to 0.5.
        frozen_stages (int): Blocks that are not trained; 0 trains all, 5 freezes all 13 convolutions. Defaults to 0.
        pretrained (str | None): Checkpoint to start from: a path, a URL, or ``open-mmlab://vgg16_caffe``. Weights
            whose name and shape fit are taken, and one log line says which layers stay new. Defaults to None.
        channels_last (bool): Compute in the channels-last memory format, which is faster on CPUs and under mixed
            precision. Defaults to False.
        init_cfg (dict | list[dict] | None): mmengine's initialisation. Defaults to He's for a network that starts from
            nothing; new layers on top of pre-trained ones keep PyTorch's own, smaller one (reference code).

    Shape:
        Input (N, 3, H, W); output a tuple of one (N, C, ceil(H / 8), ceil(W / 8)), where C is ``out_channels``, or the
        width of block 5 (512 times ``width_mult``) for 'conv5_3'.

    Raises:
        ValueError: For another ``out_layer``, or ``frozen_stages`` outside 0..5.
    """

    def __init__(
        self,
        out_layer: str = 'fc7',
        fc6_dilation: int = 1,
        out_channels: int = 1024,
        width_mult: float = 1.0,
        dropout: float = 0.5,
        frozen_stages: int = 0,
        pretrained: str | None = None,
        channels_last: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None and pretrained is None:
            init_cfg = dict(type='Kaiming', layer='Conv2d', nonlinearity='relu', bias=0)
        super().__init__(init_cfg)
        if out_layer not in ('fc7', 'conv5_3'):
            raise ValueError(f"out_layer must be 'fc7' or 'conv5_3', got {out_layer!r}")
        if not 0 <= frozen_stages <= len(BLOCK_WIDTHS):
            raise ValueError(f'frozen_stages must lie in 0..{len(BLOCK_WIDTHS)}, got {frozen_stages}')
        self.out_layer = out_layer
        self.frozen_stages = frozen_stages
        self.pretrained = pretrained
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._pretrained_state: dict[str, Tensor] | None = None
        layers, channels, self._block_ends = [], 3, []
        for block, (widths, stride) in enumerate(zip(BLOCK_WIDTHS, BLOCK_STRIDES), start=1):
            dilation = 2 if block == 5 else 1
            for width in widths:
                width = max(1, round(width * width_mult))
                layers += [nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(3, stride=stride, padding=1))
            self._block_ends.append(len(layers))
        if out_layer == 'conv5_3':
            self.features = nn.Sequential(*layers[:-1])
            return
        self.features = nn.Sequential(*layers)
        self.average = nn.AvgPool2d(3, stride=1, padding=1)
        self.fc6 = nn.Conv2d(channels, out_channels, 3, padding=fc6_dilation, dilation=fc6_dilation)
        self.fc7 = nn.Conv2d(out_channels, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """Features of a batch of images, see the class."""
        feats = self.features(inputs.contiguous(memory_format=self.memory_format))
        if self.out_layer == 'conv5_3':
            return (feats,)
        feats = self.average(feats)
        feats = self.dropout(self.relu(self.fc6(feats)))
        feats = self.dropout(self.relu(self.fc7(feats)))
        return (feats,)

    def pretrained_state(self) -> dict[str, Tensor]:
        """The weights of ``pretrained`` that fit this network; empty without ``pretrained``.

        Raises:
            ValueError: If the checkpoint holds no VGG-16 weight that fits.
        """
        if self.pretrained is None:
            return {}
        if self._pretrained_state is None:
            checkpoint = CheckpointLoader.load_checkpoint(self.pretrained, map_location='cpu')
            own = self.state_dict()
            state = {k: v for k, v in map_vgg_keys(checkpoint).items() if k in own and own[k].shape == v.shape}
            if not state:
                raise ValueError(
                    f'{self.pretrained} holds no VGG-16 weight that fits (looked for features.0.weight or '
                    'conv1_1.weight and the like): give another `pretrained`, or None'
                )
            self._pretrained_state = state
        return self._pretrained_state

    def new_layers(self) -> list[str]:
        """Names of the layers that ``pretrained`` does not hold and that therefore start at random."""
        loaded = self.pretrained_state()
        return [
            name
            for name, layer in self.named_modules()
            if isinstance(layer, nn.Conv2d) and f'{name}.weight' not in loaded
        ]

    def init_weights(self) -> None:
        """Initialise every layer, load what ``pretrained`` holds, and log which layers are which."""
        super().init_weights()
        state = self.pretrained_state()
        self.load_state_dict(state, strict=False)
        new = self.new_layers()
        loaded = sum(isinstance(layer, nn.Conv2d) for layer in self.modules()) - len(new)
        print_log(
            f'{type(self).__name__}: {loaded} layers loaded from {self.pretrained}, '
            f'new: {", ".join(new) if new else "none"}',
            logger='current',
            level=logging.INFO,
        )
        self._pretrained_state = None  # frees the copy; new_layers() would read the file again

    def train(self, mode: bool = True) -> 'VGG16LargeFOV':
        """Set the mode and keep the frozen blocks without gradient."""
        super().train(mode)
        end = self._block_ends[self.frozen_stages - 1] if self.frozen_stages else 0
        for parameter in self.features[:end].parameters():
            parameter.requires_grad_(False)
        return self
