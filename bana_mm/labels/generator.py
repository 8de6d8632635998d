"""The network side of label generation: from the features of an image to the CRF's input, and to Y_ret."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bana_mm.functional import (
    Upsampling,
    background_activation_score,
    background_score,
    class_scores,
    image_attention,
    retrieval_scores,
    unary_probability,
)

from .recipe import LabelRecipe
from .task import BoxLayout, LabelTask


@dataclass
class ImageMaps:
    """What the classifier says about an image, at image size.

    Args:
        attention (Tensor): Background attention A, (H, W) in [0, 1]; not set to 1 outside the boxes.
        activation (Tensor): CAM of the background and of the image's classes, (C + 1, H, W), >= 0.
    """

    attention: Tensor
    activation: Tensor


class LabelGenerator:
    """Turn features and boxes into the CRF's input and into Y_ret (paper Sec. 3.2), in float32 on any device.

    Both maps take three steps, so that the CRF may run elsewhere in between::

        task = generator.prepare(feats, size, boxes, labels, ignored)
        y_crf = crf_label(image, task)  # in any process
        y_ret = generator.retrieve(feats, task, y_crf)

    Args:
        weight (Tensor): Classifier weights w, (L + 1, D), row 0 for the background.
        recipe (LabelRecipe | dict | None): Parameters. Defaults to those of the reference code.

    Raises:
        ValueError: For weights of another shape or more than 254 classes (255 marks ignored pixels).
    """

    def __init__(self, weight: Tensor, recipe: LabelRecipe | dict | None = None) -> None:
        if weight.dim() != 2 or not 2 <= len(weight) <= 255:
            raise ValueError(f'weight must have shape (L + 1, D) with 1 to 254 classes, got {tuple(weight.shape)}')
        self.weight = weight.detach().float()
        self.recipe = LabelRecipe.from_cfg(recipe)

    @classmethod
    def from_model(cls, model: nn.Module, recipe: LabelRecipe | dict | None = None) -> 'LabelGenerator':
        """With the classifier of a ``BoxClassifier``."""
        return cls(model.bap_head.weight, recipe)

    @torch.no_grad()
    def prepare(self, feats: Tensor, size: tuple[int, int], boxes: Tensor, labels: Tensor,
                ignored: Tensor | None = None) -> LabelTask:
        """Input of the CRF for one image.

        Args:
            feats (Tensor): Features f of the image, (D, h, w) float.
            size (tuple[int, int]): Height and width of the image in pixels.
            boxes (Tensor): (K, 4) float, xyxy in pixel edges of the image.
            labels (Tensor): (K,) int, 0..L-1.
            ignored (Tensor | None): (J, 4) float, boxes that count neither as object nor as background. Defaults to
                None.

        Raises:
            ValueError: If features, boxes and labels don't fit each other or the classifier, or are not finite.
        """
        self._check(feats, labels)
        layout = BoxLayout.from_boxes(size, boxes, labels, ignored)
        if len(layout.classes) == 1:
            probability = np.ones((1, *layout.size), dtype=np.float32)
            return LabelTask(layout, probability, restore=(), crf=self.recipe.crf)
        return self.unaries(self.maps(feats, layout), layout)

    def prepare_sample(self, feats: Tensor, sample: Any) -> LabelTask:
        """:meth:`prepare` with the boxes of an mmdet ``DetDataSample`` whose image has its own size."""
        boxes, ignored = (getattr(part.bboxes, 'tensor', part.bboxes).to(feats.device)
                          for part in (sample.gt_instances, sample.ignored_instances))
        return self.prepare(feats, sample.ori_shape[:2], boxes, sample.gt_instances.labels.to(feats.device), ignored)

    @torch.no_grad()
    def maps(self, feats: Tensor, layout: BoxLayout) -> ImageMaps:
        """Attention and class activation maps at image size (paper Eq. 1-3 and 6).

        Args:
            feats (Tensor): Features f of the image, (D, h, w) float.
            layout (BoxLayout): Its boxes.
        """
        feats = feats.float()
        upsampling = self._upsampling(feats, layout)
        attention = image_attention(feats, layout.background(feats.device), upsampling, self.recipe.grid_size)
        activation = torch.einsum('cd,dhw->chw', self._weight(feats, layout), feats)
        return ImageMaps(attention, upsampling(activation).relu())  # the reference code, too, upsamples first

    @torch.no_grad()
    def unaries(self, maps: ImageMaps, layout: BoxLayout) -> LabelTask:
        """Input of the CRF from the maps (paper Eq. 5 and 7).

        Args:
            maps (ImageMaps): From :meth:`maps`.
            layout (BoxLayout): Boxes of the image.
        """
        recipe, device = self.recipe, maps.attention.device
        if recipe.background == 'attention':
            background = background_score(maps.attention, recipe.threshold, recipe.threshold_mode == 'relative')
        elif recipe.background == 'cam':
            background = background_activation_score(maps.activation[0])
        else:
            background = torch.zeros_like(maps.attention)
        scores, unseen = class_scores(maps.activation[1:], torch.from_numpy(layout.boxes), layout.rows,
                                      1 - maps.attention, recipe.normalise)
        probability = unary_probability(background, scores, layout.regions(device), layout.unknown(device),
                                        recipe.temperature)
        restore = dict(none=[False] * len(unseen), all=[True] * len(unseen), unseen=unseen.tolist())[recipe.restore]
        return LabelTask(layout, probability.cpu().numpy(), tuple(restore), recipe.crf)

    @torch.no_grad()
    def retrieve(self, feats: Tensor, task: LabelTask, y_crf: np.ndarray) -> np.ndarray:
        """Y_ret of an image (paper Eq. 8 and 9).

        Args:
            feats (Tensor): The features that ``task`` was prepared from, (D, h, w) float.
            task (LabelTask): From :meth:`prepare`.
            y_crf (np.ndarray): (H, W) uint8, class indices.

        Returns:
            np.ndarray: (H, W) uint8, class indices, and 255 where only ignored boxes tell.
        """
        layout, feats = task.layout, feats.float()
        if len(layout.classes) == 1:
            return layout.label_map(torch.from_numpy(task.probability))
        classes = torch.tensor(layout.classes, dtype=torch.uint8, device=feats.device)
        masks = torch.from_numpy(y_crf).to(feats.device) == classes[:, None, None]  # (C + 1, H, W)
        scores = retrieval_scores(feats, masks, self._weight(feats, layout), self._upsampling(feats, layout))
        return layout.label_map(scores)

    def _upsampling(self, feats: Tensor, layout: BoxLayout) -> Upsampling:
        return Upsampling(feats.shape[1:], layout.size, self.recipe.align_corners, feats.dtype, feats.device)

    def _weight(self, feats: Tensor, layout: BoxLayout) -> Tensor:
        """Classifier weights of the background and of the image's classes: (C + 1, D)."""
        return self.weight[list(layout.classes)].to(feats)

    def _check(self, feats: Tensor, labels: Tensor) -> None:
        if feats.dim() != 3 or feats.size(0) != self.weight.size(1):
            raise ValueError(f'feats must have shape ({self.weight.size(1)}, h, w) to fit the classifier, got '
                             f'{tuple(feats.shape)}')
        num_classes = len(self.weight) - 1
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
            raise ValueError(f'box labels must lie in 0..{num_classes - 1}, got {labels.tolist()}')
        if not feats.sum(dtype=torch.float32).isfinite():
            raise ValueError('feats hold NaN or infinity; the checkpoint or the image is broken')
