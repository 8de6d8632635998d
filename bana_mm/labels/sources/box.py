"""Whole boxes."""

import numpy as np

from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask

from ..item import LabelItem
from .without_network import ObjectSource


@LABEL_SOURCES.register_module(name=['box', 'BoxSource'])
class BoxSource(ObjectSource):
    """The whole box is the object."""

    name = 'box'
    takes_copies = False  # boxes are exact at any size

    def object_mask(self, item: LabelItem, k: int) -> InstanceMask:
        x1, y1, x2, y2 = item.layout.boxes[k].tolist()
        return InstanceMask(np.ones((y2 - y1, x2 - x1), dtype=bool))
