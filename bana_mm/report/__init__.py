"""A run on one page: what ``tools/analysis/report.py`` writes."""

from .gather import Findings, LabelSet, Training, find_all
from .page import write_report

__all__ = ['Findings', 'LabelSet', 'Training', 'find_all', 'write_report']
