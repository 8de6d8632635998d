from .reliable_condinst_head import ReliableCondInstMaskHead
from .reliable_mask2former_head import ReliableMask2FormerHead
from .reliable_mask_head import ReliableMaskHead
from .reliable_rtmdet_ins_head import ReliableRTMDetInsSepBNHead
from .reliable_solov2_head import ReliableSOLOV2Head

__all__ = [
    'ReliableCondInstMaskHead',
    'ReliableMask2FormerHead',
    'ReliableMaskHead',
    'ReliableRTMDetInsSepBNHead',
    'ReliableSOLOV2Head',
]
