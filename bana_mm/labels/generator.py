"""The network side of label generation: from the features of an image to the CRF's input, and to Y_ret."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bana_mm.functional import (
    Upsampling,
    activation_scores,
    background_activation_score,
    background_score,
    class_scores,
    image_attention,
    inside_boxes,
    recognised_boxes,
    retrieval_scores,
    stretch_in_boxes,
    stretched_background_score,
    unary_probability,
)

from .network import Features
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
    def prepare(
        self,
        feats: Tensor | Features,
        size: tuple[int, int],
        boxes: Tensor,
        labels: Tensor,
        ignored: Tensor | None = None,
    ) -> LabelTask:
        """Input of the CRF for one image.

        Args:
            feats (Tensor | Features): Features f of the image, (D, h, w) float, one or several views.
            size (tuple[int, int]): Height and width of the image in pixels.
            boxes (Tensor): (K, 4) float, xyxy in pixel edges of the image.
            labels (Tensor): (K,) int, 0..L-1.
            ignored (Tensor | None): (J, 4) float, boxes that count neither as object nor as background. Defaults to
                None.

        Raises:
            ValueError: If features, boxes and labels don't fit each other or the classifier, or are not finite.
        """
        self._check(feats, labels)
        return self._task(feats, BoxLayout.from_boxes(size, boxes, labels, ignored))

    @torch.no_grad()
    def prepare_sample(self, feats: Tensor | Features, sample: Any) -> LabelTask:
        """:meth:`prepare` with the boxes of an mmdet ``DetDataSample`` whose image has its own size."""
        self._check(feats, sample.gt_instances.labels)
        return self._task(feats, BoxLayout.from_sample(sample))

    def _task(self, feats: Tensor | Features, layout: BoxLayout) -> LabelTask:
        if len(layout.classes) == 1:
            probability = np.ones((1, *layout.size), dtype=np.float32)
            return LabelTask(layout, probability, restore=(), crf=self.recipe.crf)
        return self.unaries(self.maps(feats, layout), layout)

    @torch.no_grad()
    def maps(self, feats: Tensor | Features, layout: BoxLayout) -> ImageMaps:
        """Attention and class activation maps at image size, averaged over the views (paper Eq. 1-3 and 6).

        Args:
            feats (Tensor | Features): Features f of the image, (D, h, w) float, one or several views.
            layout (BoxLayout): Its boxes.
        """
        views = [self._view_maps(view.float(), layout) for view in _views(feats)]
        if len(views) == 1:
            return views[0]
        return ImageMaps(
            torch.stack([view.attention for view in views]).mean(dim=0),
            torch.stack([view.activation for view in views]).mean(dim=0),
        )

    def _view_maps(self, feats: Tensor, layout: BoxLayout) -> ImageMaps:
        upsampling = self._upsampling(feats, layout)
        attention = image_attention(feats, layout.background(feats.device), upsampling, self.recipe.grid_size)
        # The reference code, too, upsamples before it drops what is below zero.
        return ImageMaps(attention, upsampling(self.class_responses(feats, layout)).relu())

    def class_responses(self, feats: Tensor, layout: BoxLayout) -> Tensor:
        """Inner products of classifier weights and features, (C + 1, h, w) float: a CAM before ReLU and upsampling."""
        return torch.einsum('cd,dhw->chw', self._weight(feats, layout), feats)

    @torch.no_grad()
    def background(self, maps: ImageMaps, layout: BoxLayout) -> Tensor:
        """Background unary u_0, (H, W) in [0, 1] (paper Eq. 7), from the source that the recipe names.

        Args:
            maps (ImageMaps): From :meth:`maps`.
            layout (BoxLayout): Boxes of the image.
        """
        recipe = self.recipe
        if recipe.background == 'none':
            return torch.zeros_like(maps.attention)
        boxes = torch.from_numpy(layout.boxes)
        if recipe.background_range == 'box':
            activation = stretched_background_score(maps.activation[0], boxes)
        else:
            activation = background_activation_score(maps.activation[0])
        if recipe.min_recognised > 0:
            known = recognised_boxes(maps.activation, boxes, layout.rows, recipe.min_recognised).cpu()
            trusted = inside_boxes(boxes[known], layout.size) | ~inside_boxes(boxes, layout.size)
            activation = torch.where(trusted.to(activation.device), activation, 0)
        if recipe.background == 'cam':
            return activation
        if recipe.threshold_mode == 'box':
            attention = stretched_background_score(maps.attention, boxes, recipe.threshold)
        else:
            attention = background_score(maps.attention, recipe.threshold, recipe.threshold_mode == 'relative')
        return attention if recipe.background == 'attention' else torch.maximum(attention, activation)

    @torch.no_grad()
    def box_scores(self, maps: ImageMaps, layout: BoxLayout) -> tuple[list[Tensor], Tensor]:
        """Foreground unary u_c in each box (paper Eq. 5), by the recipe's ``score`` and ``normalise``.

        Args:
            maps (ImageMaps): From :meth:`maps`.
            layout (BoxLayout): Boxes of the image.

        Returns:
            tuple[list[Tensor], Tensor]: (y2 - y1, x2 - x1) in [0, 1] for each box, and in which boxes the CAM of the
            class is zero everywhere, (K,) bool.
        """
        boxes = torch.from_numpy(layout.boxes)
        activation, unseen = activation_scores(
            maps.activation[1:], boxes, layout.rows, 1 - maps.attention, self.recipe.normalise
        )
        if self.recipe.score == 'cam':
            return activation, unseen
        attention = [1 - stretched for stretched in stretch_in_boxes(maps.attention, boxes)]
        if self.recipe.score == 'attention':
            return attention, unseen
        # An empty CAM is no second opinion: its stand-in comes from the attention as well.
        return [torch.where(no_cam, b, (a + b) / 2) for a, b, no_cam in zip(activation, attention, unseen)], unseen

    @torch.no_grad()
    def unaries(self, maps: ImageMaps, layout: BoxLayout) -> LabelTask:
        """Input of the CRF from the maps (paper Eq. 5 and 7).

        Args:
            maps (ImageMaps): From :meth:`maps`.
            layout (BoxLayout): Boxes of the image.
        """
        recipe, device = self.recipe, maps.attention.device
        background = self.background(maps, layout)
        scores, unseen = self.box_scores(maps, layout)
        if recipe.crf_labels == 'instance':
            layout = layout.by_instance()
        scores = class_scores(scores, torch.from_numpy(layout.boxes), layout.rows, len(layout.classes) - 1, layout.size)
        probability = unary_probability(
            background, scores, layout.regions(device), layout.unknown(device), recipe.temperature, recipe.competition
        )
        restore = dict(none=[False] * len(unseen), all=[True] * len(unseen), unseen=unseen.tolist())[recipe.restore]
        return LabelTask(layout, probability.cpu().numpy(), tuple(restore), recipe.crf)

    @torch.no_grad()
    def retrieve(self, feats: Tensor | Features, task: LabelTask, y_crf: np.ndarray) -> np.ndarray:
        """Y_ret of an image from its first view (paper Eq. 8 and 9).

        Args:
            feats (Tensor | Features): The features that ``task`` was prepared from, (D, h, w) float.
            task (LabelTask): From :meth:`prepare`.
            y_crf (np.ndarray): (H, W) uint8, class indices.

        Returns:
            np.ndarray: (H, W) uint8, class indices, and 255 where only ignored boxes tell.
        """
        layout, feats = task.layout.by_class(), _views(feats)[0].float()
        if len(layout.classes) == 1:
            return layout.label_map(torch.ones(1, *layout.size))
        classes = torch.tensor(layout.classes, dtype=torch.uint8, device=feats.device)
        masks = torch.from_numpy(y_crf).to(feats.device) == classes[:, None, None]  # (C + 1, H, W)
        scores = retrieval_scores(feats, masks, self._weight(feats, layout), self._upsampling(feats, layout))
        return layout.label_map(scores)

    def _upsampling(self, feats: Tensor, layout: BoxLayout) -> Upsampling:
        return Upsampling(feats.shape[1:], layout.size, self.recipe.align_corners, feats.dtype, feats.device)

    def _weight(self, feats: Tensor, layout: BoxLayout) -> Tensor:
        """Classifier weights of the background and of the image's classes: (C + 1, D)."""
        return self.weight[list(layout.classes)].to(feats)

    def _check(self, feats: Tensor | Features, labels: Tensor) -> None:
        for view in _views(feats):
            if view.dim() != 3 or view.size(0) != self.weight.size(1):
                raise ValueError(
                    f'feats must have shape ({self.weight.size(1)}, h, w) to fit the classifier, got '
                    f'{tuple(view.shape)}'
                )
            if not view.sum(dtype=torch.float32).isfinite():
                raise ValueError('feats hold NaN or infinity; the checkpoint or the image is broken')
        num_classes = len(self.weight) - 1
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
            raise ValueError(f'box labels must lie in 0..{num_classes - 1}, got {labels.tolist()}')


def _views(feats: Tensor | Features) -> Features:
    return [feats] if isinstance(feats, Tensor) else feats
