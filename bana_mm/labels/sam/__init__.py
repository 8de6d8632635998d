"""SAM and its kin with boxes as prompts, through transformers. Needs torch, Pillow and transformers, no mm* package."""

from .loading import load_box_prompter, weights_digest
from .preparation import SamPreparation
from .prompter import BoxPrompter, EncodedImage, PromptedMask

__all__ = ['BoxPrompter', 'EncodedImage', 'PromptedMask', 'SamPreparation', 'load_box_prompter', 'weights_digest']
