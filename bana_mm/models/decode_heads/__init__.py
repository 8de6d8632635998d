from .aspp_sum_head import ASPPSumHead
from .cosine_head import CosineClassifier, CosineDecodeHead

__all__ = ['ASPPSumHead', 'CosineClassifier', 'CosineDecodeHead']
