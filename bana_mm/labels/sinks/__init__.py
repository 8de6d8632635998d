"""Where labels go: a store of label maps, a COCO file of masks, or memory."""

from .base import LabelSink
from .mask_json import read_record
from .mask_sink import MaskSink
from .memory import MemorySink
from .store import StoreSink

__all__ = ['LabelSink', 'MaskSink', 'MemorySink', 'StoreSink', 'read_record']
