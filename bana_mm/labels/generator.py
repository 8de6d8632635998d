"""Label maps from the features of an image, in three steps around the CRF (paper Sec. 3.2)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import retrieval_scores
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import Features, activation_maps, check_features, upsampling_of

from .crf import LabelTask, crf_labels
from .unaries import label_task


class LabelGenerator:
    """Turn features and boxes into Y_crf and Y_ret, in float32 on any device.

    Three steps, so that the CRF may run elsewhere in between::

        task = generator.prepare(features, image, layout)
        y_crf = task.run()  # in any process
        labels = generator.finish(features, layout, y_crf)

    Args:
        weight (Tensor): Classifier weights w, (L + 1, D), row 0 for the background.
        recipe (LabelRecipe | dict | None): Parameters. Defaults to None, see :class:`LabelRecipe`.

    Raises:
        ValueError: For weights of another shape or more than 254 classes (255 marks ignored pixels).
    """

    def __init__(self, weight: Tensor, recipe: LabelRecipe | dict | None = None) -> None:
        if weight.dim() != 2 or not 2 <= len(weight) <= 255:
            raise ValueError(f'weight must have shape (L + 1, D) with 1 to 254 classes, got {tuple(weight.shape)}')
        self.weight = weight.detach().float()
        self.recipe = LabelRecipe.from_cfg(recipe)

    @torch.no_grad()
    def prepare(self, features: Features, image: np.ndarray, layout: BoxLayout) -> LabelTask:
        """Input of the CRF for one image.

        Args:
            features (Features): Of the image, one or several views.
            image (np.ndarray): (H, W, 3) uint8 RGB.
            layout (BoxLayout): Its boxes.

        Raises:
            ValueError: If features, boxes and classifier don't fit each other, or the features are not finite.
        """
        check_features(features, layout, self.weight)
        maps = None
        if len(layout.classes) > 1:
            maps = activation_maps(features, layout, self.weight, self.recipe)
        return label_task(image, maps, layout, self.recipe)

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
        return dict(Y_crf=y_crf, Y_ret=self.retrieve(features, layout, y_crf))

    @torch.no_grad()
    def retrieve(self, features: Features, layout: BoxLayout, y_crf: np.ndarray) -> np.ndarray:
        """Y_ret of an image from its first view (paper Eq. 8 and 9).

        Args:
            features, layout: As for :meth:`prepare`.
            y_crf (np.ndarray): (H, W) uint8, class indices.

        Returns:
            np.ndarray: (H, W) uint8, class indices, and 255 where only ignored boxes tell.
        """
        layout, feats = layout.by_class(), features[0]['last'].float()
        if len(layout.classes) == 1:
            return layout.label_map(torch.ones(1, *layout.size))
        classes = torch.tensor(layout.classes, dtype=torch.uint8, device=feats.device)
        masks = torch.from_numpy(y_crf).to(feats.device) == classes[:, None, None]  # (C + 1, H, W)
        weight = self.weight[list(layout.classes)].to(feats)
        return layout.label_map(retrieval_scores(feats, masks, weight, upsampling_of(feats, layout, self.recipe)))
