from .bap_head import BAPHead
from .box_classifier import BoxClassifier
from .image_classifier import ImageClassifier
from .image_head import ImageHead

__all__ = ['BAPHead', 'BoxClassifier', 'ImageClassifier', 'ImageHead']
