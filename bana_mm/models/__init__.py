"""Registered modules; those that need mmdet or mmseg are registered where the package is installed."""

from importlib.util import find_spec

from .backbones import VGG16LargeFOV

__all__ = ['VGG16LargeFOV']

if find_spec('mmdet'):
    from .classifiers import BAPHead, BoxClassifier
    from .mask_heads import ReliableCondInstMaskHead, ReliableMaskHead

    __all__ += ['BAPHead', 'BoxClassifier', 'ReliableCondInstMaskHead', 'ReliableMaskHead']

if find_spec('mmseg'):
    from .backbones.resnet import DeepLabResNet
    from .decode_heads import ASPPSumHead, CosineDecodeHead
    from .losses import BootstrappingLoss, EntropyLoss, NoiseAwareLoss
    from .segmentors import LogitTTAModel

    __all__ += [
        'ASPPSumHead',
        'BootstrappingLoss',
        'CosineDecodeHead',
        'DeepLabResNet',
        'EntropyLoss',
        'LogitTTAModel',
        'NoiseAwareLoss',
    ]
