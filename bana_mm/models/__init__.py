"""Registered modules; those that need mmdet or mmseg are registered where the package is installed."""

from importlib.util import find_spec

from .backbones import VGG16LargeFOV

__all__ = ['VGG16LargeFOV']

if find_spec('mmdet'):
    from .classifiers import BAPHead, BoxClassifier
    __all__ += ['BAPHead', 'BoxClassifier']
