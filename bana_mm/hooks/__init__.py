from .label_check_hook import LabelCheckHook

__all__ = ['LabelCheckHook']
