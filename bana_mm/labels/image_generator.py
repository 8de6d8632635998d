"""Label maps from the activation maps of an image classifier, in three steps around the CRF.

An image label is a box over the whole image: with such boxes every region is the image and no pixel is background for
certain, and CRF, prototypes, stores and the training of stage 3 need nothing else.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import unary_probability
from bana_mm.structures import ActivationRecipe, BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import Features

from .crf import LabelTask, crf_labels
from .generator import LabelGenerator


def whole_image(layout: BoxLayout) -> BoxLayout:
    """A box over the whole image for each class of a layout."""
    height, width = layout.size
    classes = layout.by_class().classes[1:]
    return BoxLayout.from_boxes(layout.size, [[0, 0, width, height]] * len(classes), classes)


class ImageLabelGenerator:
    """Turn activation maps and the classes of an image into Y_crf and Y_ret, see :class:`LabelGenerator`.

    Args:
        weight (Tensor): Classifier weights w, (M + 1, D), of the classes to label, row 0 for the background.
        own (Tensor): Which of the classifier's L classes these are, (M + 1, L + 1), one row of a unit matrix each, or
            zeros.
        recipe (ActivationRecipe): Parameters.
    """

    def __init__(self, weight: Tensor, own: Tensor, recipe: ActivationRecipe) -> None:
        self.weight = weight.detach().float()
        self.own = own.to(self.weight)
        self.recipe = recipe
        self._retrieval = LabelGenerator(weight, LabelRecipe(align_corners=recipe.align_corners))

    @torch.no_grad()
    def prepare(self, features: Features, image: np.ndarray, layout: BoxLayout) -> LabelTask:
        """Input of the CRF for one image.

        Args:
            features (Features): Of each view features and activation maps, see
                :meth:`ImageClassifier.extract_layers`.
            image (np.ndarray): (H, W, 3) uint8 RGB.
            layout (BoxLayout): Its boxes, of which only the classes count.
        """
        layout, recipe = whole_image(layout), self.recipe
        if len(layout.classes) == 1:
            return LabelTask(image, layout, np.ones((1, *layout.size), dtype=np.float32), restore=(), crf=recipe.crf)
        chosen = self.own[list(layout.classes[1:]), 1:]  # (C, L)
        views = [torch.einsum('cl,lhw->chw', chosen, view['maps'].float()) for view in features]
        maps = recipe.merge(views, layout.size)
        regions = torch.ones_like(maps, dtype=torch.bool)
        probability = unary_probability(recipe.crf_background(maps), maps, regions, temperature=recipe.temperature)
        restore = (False,) * len(layout.boxes)  # a class may be too small for its map, and no box says where it is
        return LabelTask(image, layout, probability.cpu().numpy(), restore, recipe.crf)

    def run_on_device(self, tasks: Sequence[LabelTask]) -> list[np.ndarray]:
        """Y_crf of several images on the device of the weights."""
        return crf_labels(tasks, self.weight.device)

    def finish(self, features: Features, layout: BoxLayout, y_crf: np.ndarray) -> dict[str, np.ndarray]:
        """Both label maps of an image.

        Args:
            features, layout: As for :meth:`prepare`.
            y_crf (np.ndarray): Result of the task.

        Returns:
            dict[str, np.ndarray]: ``Y_crf`` and ``Y_ret``, (H, W) uint8.
        """
        return dict(Y_crf=y_crf, Y_ret=self._retrieval.retrieve(features, whole_image(layout), y_crf))
