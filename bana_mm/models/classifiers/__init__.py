from .bap_head import BAPHead
from .box_classifier import BoxClassifier
from .image_classifier import ImageClassifier
from .image_head import ImageHead
from .seam_classifier import SEAMClassifier

__all__ = ['BAPHead', 'BoxClassifier', 'ImageClassifier', 'ImageHead', 'SEAMClassifier']
