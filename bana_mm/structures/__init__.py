"""Annotations of an image, as the data flow passes them on."""

from .reliable_masks import ReliableMasks

__all__ = ['ReliableMasks']
