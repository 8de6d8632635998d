"""Helpers that do not belong to one stage. Imports nothing heavy: ``bana_mm`` itself needs the version checks."""

from .environment import check_environment, require, require_ops

__all__ = ['check_environment', 'require', 'require_ops']
