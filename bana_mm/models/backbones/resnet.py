"""The ResNet of DeepLab-V2."""

from mmseg.models.backbones import ResNet

from bana_mm.registry import MODELS


@MODELS.register_module()
class DeepLabResNet(ResNet):
    """mmseg's ResNet with the stem's pooling of Caffe's networks, from which the public COCO weights come.

    Caffe rounds the size of a pooled map up: a side of 375 pixels gives 95 cells after the stem and 48 at stride 8,
    where mmseg's ResNet has 94 and 47. Sides of 32 k + 1 pixels, such as crops of 321, are the same either way. The
    weights' names are mmseg's.

    Args:
        ceil_mode (bool): Whether the stem's max pooling rounds up (reference code). Defaults to True.
        kwargs: See mmseg's ``ResNet``.
    """

    def __init__(self, ceil_mode: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.maxpool.ceil_mode = ceil_mode
