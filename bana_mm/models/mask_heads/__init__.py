from .reliable_condinst_head import ReliableCondInstMaskHead
from .reliable_mask_head import ReliableMaskHead

__all__ = ['ReliableCondInstMaskHead', 'ReliableMaskHead']
