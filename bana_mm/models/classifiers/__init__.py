from .bap_head import BAPHead
from .box_classifier import BoxClassifier

__all__ = ['BAPHead', 'BoxClassifier']
