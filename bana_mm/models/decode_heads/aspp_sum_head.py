"""DeepLab-V2's head."""

from collections.abc import Sequence

from mmcv.cnn import build_activation_layer, build_conv_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from bana_mm.registry import MODELS


@MODELS.register_module()
class ASPPSumHead(BaseDecodeHead):
    """Sum of parallel dilated 3x3 convolutions (DeepLab-V2's ASPP).

    As in BANA's reference code the convolutions have no bias and lead to ``channels`` hidden channels, whose sum goes
    through the activation and the 1x1 classifier ``conv_seg``. DeepLab-V2 itself sums the classes' scores, with biases
    and without a hidden layer: ``direct=True``.

    Args:
        dilations (Sequence[int]): Of the convolutions. Defaults to (6, 12, 18, 24).
        direct (bool): Sum straight to the classes. There is then no ``conv_seg`` that ``CosineDecodeHead`` could
            replace, and neither ``channels`` nor dropout is used. Defaults to False.
        init_cfg (dict | None): Defaults to a normal distribution with standard deviation 0.01 and zero biases.
        kwargs: See mmseg's ``BaseDecodeHead``; ``channels`` defaults to 256.

    Shape:
        The selected input (N, in_channels, h, w); output (N, num_classes, h, w).
    """

    def __init__(
        self,
        dilations: Sequence[int] = (6, 12, 18, 24),
        direct: bool = False,
        init_cfg: dict | None = None,
        channels: int = 256,
        **kwargs,
    ) -> None:
        init_cfg = init_cfg or dict(type='Normal', layer='Conv2d', std=0.01)
        super().__init__(channels=channels, init_cfg=init_cfg, **kwargs)
        self.direct = direct
        width = self.out_channels if direct else channels
        self.convs = nn.ModuleList(
            build_conv_layer(
                self.conv_cfg, self.in_channels, width, 3, padding=dilation, dilation=dilation, bias=direct
            )
            for dilation in dilations
        )
        if direct:
            del self.conv_seg
        else:
            self.activate = build_activation_layer(self.act_cfg)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits of the backbone's outputs."""
        feats = self._transform_inputs(inputs)
        total = sum(conv(feats) for conv in self.convs)
        return total if self.direct else self.cls_seg(self.activate(total))
