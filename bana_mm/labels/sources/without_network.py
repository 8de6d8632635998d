"""Sources without a network: of one object after the other, and of label maps."""

from abc import ABC, abstractmethod

from bana_mm.structures import InstanceMask, paint_masks

from ..item import LabelItem
from .answer import LabelMaps, Masks, masks_of_maps
from .base import LabelSource


class ObjectSource(LabelSource, ABC):
    """Looks for the object in one box after the other; its label map has the smallest box in front."""

    paints_masks = True

    @abstractmethod
    def object_mask(self, item: LabelItem, k: int) -> InstanceMask:
        """The object in a box.

        Args:
            item (LabelItem): The image.
            k (int): Number of the box in its layout.

        Returns:
            InstanceMask: On the pixels of the box.
        """

    def masks(self, item: LabelItem) -> Masks:
        return [self.object_mask(item, k) for k in range(len(item.layout.boxes))]

    def label_maps(self, item: LabelItem) -> LabelMaps:
        return {self.name: paint_masks(item.layout, [one.mask for one in self.masks(item)])}


class MapSource(LabelSource):
    """Knows label maps; its masks are cut out of the first one, unreliable where the maps disagree or are ignored."""

    def masks(self, item: LabelItem) -> Masks:
        return masks_of_maps(item, self.label_maps(item))
