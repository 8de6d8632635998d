from .label_check_hook import LabelCheckHook
from .num_classes_hook import NumClassesHook

__all__ = ['LabelCheckHook', 'NumClassesHook']
