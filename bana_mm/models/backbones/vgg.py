"""VGG-16 with a large field of view, the backbone of the classifier and of DeepLab-V1."""

import logging
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from bana_mm.registry import MODELS

from .vgg_weights import BLOCK_WIDTHS, VGGWeights, fit_vgg_weights

BLOCK_STRIDES = (2, 2, 2, 1, 1)


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
        pretrained (str | None): Checkpoint to start from: a path, a URL, or ``open-mmlab://vgg16_caffe``, in any form
            that :func:`fit_vgg_weights` knows. One log line says which layers come from where and which stay new.
            Defaults to None.
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
        self._pretrained: VGGWeights | None = None
        layers, channels, self._block_ends = [], 3, []
        self._convs: dict[int, str] = {}  # names of the convolutions by the positions of their ReLUs
        for block, (widths, stride) in enumerate(zip(BLOCK_WIDTHS, BLOCK_STRIDES), start=1):
            dilation = 2 if block == 5 else 1
            for number, width in enumerate(widths, start=1):
                width = max(1, round(width * width_mult))
                layers += [nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
                channels = width
                self._convs[len(layers) - 1] = f'conv{block}_{number}'
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
        return (self.forward_layers(inputs)['last'],)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that :meth:`forward_layers` knows, in order; the last of them is ``out_layer``."""
        return (*self._convs.values(), *(('fc6', 'fc7') if self.out_layer == 'fc7' else ()))

    def forward_layers(self, inputs: Tensor, names: Sequence[str] = ()) -> dict[str, Tensor]:
        """Features of a batch of images at several layers.

        Args:
            inputs (Tensor): (N, 3, H, W).
            names (Sequence[str]): Names among ``layer_names``; others are passed over. Defaults to none.

        Returns:
            dict[str, Tensor]: 'last', the features of the class, and those asked for, (N, D, h, w) after their ReLU
            (and dropout). D, h and w are the layer's own.
        """
        found: dict[str, Tensor] = {}
        feats = inputs.contiguous(memory_format=self.memory_format)
        for position, layer in enumerate(self.features):
            feats = layer(feats)
            if self._convs.get(position) in names:
                found[self._convs[position]] = feats
        if self.out_layer == 'fc7':
            feats = self.dropout(self.relu(self.fc6(self.average(feats))))
            if 'fc6' in names:
                found['fc6'] = feats
            feats = self.dropout(self.relu(self.fc7(feats)))
            if 'fc7' in names:
                found['fc7'] = feats
        return dict(found, last=feats)

    def pretrained_weights(self) -> VGGWeights:
        """The weights of ``pretrained`` that fit this network; empty without ``pretrained``.

        Raises:
            FileNotFoundError: If the checkpoint is not there, or can't be fetched.
            ValueError: If it holds no VGG-16 weight that fits.
        """
        if self.pretrained is None:
            return VGGWeights({}, {})
        if self._pretrained is None:
            try:
                checkpoint = CheckpointLoader.load_checkpoint(self.pretrained, map_location='cpu')
            except OSError as error:  # URLError is one
                raise FileNotFoundError(
                    f"{self.pretrained}: the weights of VGG-16 can't be had ({error}). Without a network, copy the "
                    'file here and name it: VGG16_WEIGHTS=FILE, or model.backbone.pretrained=FILE (docs/weights.md)'
                ) from error
            weights = fit_vgg_weights(checkpoint, self.state_dict())
            if not weights.state:
                raise ValueError(
                    f'{self.pretrained} holds no VGG-16 weight that fits (looked for features.0.weight or '
                    'conv1_1.weight and the like): give another `pretrained`, or None'
                )
            self._pretrained = weights
        return self._pretrained

    def new_layers(self) -> list[str]:
        """Names of the layers that ``pretrained`` does not hold and that therefore start at random."""
        loaded = self.pretrained_weights().state
        return [
            name
            for name, layer in self.named_modules()
            if isinstance(layer, nn.Conv2d) and f'{name}.weight' not in loaded
        ]

    def init_weights(self) -> None:
        """Initialise every layer, load what ``pretrained`` holds, and log which layers come from where."""
        super().init_weights()
        weights, new = self.pretrained_weights(), self.new_layers()
        self.load_state_dict(weights.state, strict=False)
        self._log_sources(weights.sources, new)
        self._pretrained = None  # frees the copy; new_layers() would read the file again

    def _log_sources(self, sources: dict[str, str], new: list[str]) -> None:
        convs = sum(name.startswith('features') for name in sources)
        parts = [f'{convs} of 13 convolutions', *(f'{fc} from {sources[fc]}' for fc in ('fc6', 'fc7') if fc in sources)]
        message = f'{type(self).__name__}: loaded from {self.pretrained}: {", ".join(parts)}; ' if sources else ''
        message += f'new, at random: {", ".join(new) if new else "none"}'
        if self.pretrained is not None and {'fc6', 'fc7'} & set(new):
            message += (
                '. The published models start with a pre-trained fc6 and fc7: give weights that hold them '
                "(docs/weights.md), or end with out_layer='conv5_3'"
            )
        level = logging.WARNING if new and self.pretrained is not None else logging.INFO
        print_log(message, logger='current', level=level)

    def train(self, mode: bool = True) -> 'VGG16LargeFOV':
        """Set the mode and keep the frozen blocks without gradient."""
        super().train(mode)
        end = self._block_ends[self.frozen_stages - 1] if self.frozen_stages else 0
        for parameter in self.features[:end].parameters():
            parameter.requires_grad_(False)
        return self
