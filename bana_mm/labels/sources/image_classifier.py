"""Labels of a classifier that was trained from image labels."""

from typing import TYPE_CHECKING

import torch

from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import ActivationRecipe
from bana_mm.utils.stopwatch import measured

from ..class_weights import weight_of_classes
from ..item import LabelItem
from .answer import Answer, Kind, masks_of_maps
from .classifier import ClassifierSource

if TYPE_CHECKING:
    from ..image_generator import ImageLabelGenerator


@LABEL_SOURCES.register_module(name=['image_crf', 'ImageCRFSource'])
class ImageCRFSource(ClassifierSource):
    """Class activation maps of an ``ImageClassifier`` through a DenseCRF.

    Of the boxes only the classes that they name are used, but that masks of instances are cut out of the map by them,
    and that pixels of which only ignored boxes tell stay unlabelled, as in every source. The config's
    ``model.activations`` says how maps become labels, see :class:`bana_mm.structures.ActivationRecipe`.

    Args: See :class:`ClassifierSource`; ``recipe`` changes fields of ``activations``. With ``both`` the maps are Y_crf
        and Y_ret, which follows from the image's prototypes as that of a box classifier.
    """

    name = 'image_crf'
    single_map = 'Y_crf'
    in_boxes = False

    @classmethod
    def check_model(cls, model: torch.nn.Module, config: str) -> None:
        if not hasattr(model, 'activations'):
            raise ValueError(
                f"{config}: label source 'image_crf' needs an ImageClassifier, but this config has model.type "
                f'{type(model).__name__}, whose labels come from the source classifier'
            )

    def make_recipe(self) -> ActivationRecipe:
        """The classifier's ``activations`` with the changes asked for; those of ``crf`` one by one."""
        fields = self._engine().model.activations.to_dict()
        changes = self._changes()
        crf = {**fields['crf'], **changes.get('crf', {})}
        return ActivationRecipe.from_cfg({**fields, **changes, 'crf': crf})

    def make_instance_recipe(self) -> ActivationRecipe:
        """The same as :meth:`make_recipe`: masks are cut out of label maps."""
        return self.make_recipe()

    def finish(self, item: LabelItem, kind: Kind, context: object, result: object) -> Answer:
        if kind == 'maps':
            return super().finish(item, kind, context, result)
        with measured('labels'):
            both = context.finish(item, result)
        return masks_of_maps(item, both if self._single_map is None else {self.name: both[self._single_map]})

    def _generator(self, kind: Kind) -> 'ImageLabelGenerator':
        from ..image_generator import ImageLabelGenerator

        weight, _ = self._weight()
        own = torch.eye(1 + len(self._engine().classes))
        if self._classes is not None:
            own, _ = weight_of_classes(own, self._engine().classes, self._classes, self._same_as)
        return ImageLabelGenerator(weight, own, self.make_recipe())
