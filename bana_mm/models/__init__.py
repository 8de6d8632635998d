"""Registered modules; those that need mmdet or mmseg are registered where the package is installed."""

from importlib.util import find_spec

from bana_mm.utils import require_ops

require_ops()  # mmdet and mmseg would say so in their own words

from .backbones import VGG16LargeFOV

__all__ = ['VGG16LargeFOV']

if find_spec('mmdet'):
    from .classifiers import BAPHead, BoxClassifier, ImageClassifier, ImageHead, SEAMClassifier
    from .losses import FeatureSimilarityLoss, HardBackgroundLoss, ImportanceSamplingLoss, VisualWordLoss
    from .mask_heads import (
        ReliableCondInstMaskHead,
        ReliableMask2FormerHead,
        ReliableMaskHead,
        ReliableRTMDetInsSepBNHead,
        ReliableSOLOV2Head,
    )

    __all__ += [
        'BAPHead',
        'BoxClassifier',
        'FeatureSimilarityLoss',
        'HardBackgroundLoss',
        'ImageClassifier',
        'ImageHead',
        'ImportanceSamplingLoss',
        'ReliableCondInstMaskHead',
        'ReliableMask2FormerHead',
        'ReliableMaskHead',
        'ReliableRTMDetInsSepBNHead',
        'ReliableSOLOV2Head',
        'SEAMClassifier',
        'VisualWordLoss',
    ]

if find_spec('mmseg'):
    from .backbones.resnet import DeepLabResNet
    from .decode_heads import ASPPSumHead, CosineDecodeHead
    from .losses import BootstrappingLoss, EntropyLoss, NoiseAwareLoss, SegFeatureSimilarityLoss
    from .segmentors import LogitTTAModel

    __all__ += [
        'ASPPSumHead',
        'BootstrappingLoss',
        'CosineDecodeHead',
        'DeepLabResNet',
        'EntropyLoss',
        'LogitTTAModel',
        'NoiseAwareLoss',
        'SegFeatureSimilarityLoss',
    ]

if find_spec('mmdet') and find_spec('mmseg'):
    from .decode_heads.reliable_mask2former_decode_head import ReliableMask2FormerDecodeHead

    __all__ += ['ReliableMask2FormerDecodeHead']
