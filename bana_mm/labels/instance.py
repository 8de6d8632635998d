"""The network side of instance labels: from the features of an image to one CRF input a box, and to Y_ret of each."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import Upsampling, correlation_maps, region_prototypes, unary_probability

from .generator import LabelGenerator
from .instance_recipe import InstanceRecipe
from .instance_task import InstanceCrop, InstanceMask, InstanceTask
from .network import Features
from .task import BoxLayout

CHUNK = 16  # instances whose maps at image size are in memory at once


@dataclass
class InstanceLabel:
    """The label of an instance, on the pixels of its box.

    Args:
        mask (np.ndarray): (y2 - y1, x2 - x1) bool, Y_crf; at least one pixel.
        unreliable (np.ndarray): (y2 - y1, x2 - x1) bool, where Y_crf and Y_ret differ.
        score (float): For ranking labels, in [0, 1]: the mean posterior of the CRF over the mask.
    """

    mask: np.ndarray
    unreliable: np.ndarray
    score: float


class InstanceLabelGenerator:
    """Turn features and boxes into one CRF input a box, and its masks into labels with their reliable pixels.

    What the paper says of instances is that unseen classes take 1 - A as foreground score, and that the loss is on the
    pixels on which Y_crf and Y_ret agree. Ours is the rest: an instance is told apart from all else (background, other
    instances of its class or of others) by a CRF of two labels on a crop around its box, scaled to one size; objects
    are more likely in the middle of their boxes; where masks overlap the smaller box is in front; and Y_ret compares
    the mean feature of the instance's mask with that of all pixels that are in no mask of the image::

        task = generator.prepare(features, image, layout)
        masks = crf_instances(task)  # in any process
        labels = generator.finish(features, layout, masks)

    Args:
        weight (Tensor): Classifier weights, (L + 1, D), row 0 for the background, one for each class of the data set:
            zeros for unseen ones, see :func:`bana_mm.labels.instance_classes.weight_of_classes`.
        recipe (InstanceRecipe | dict | None): Parameters. Defaults to None, their defaults.
    """

    def __init__(self, weight: Tensor, recipe: InstanceRecipe | dict | None = None) -> None:
        self.recipe = recipe if isinstance(recipe, InstanceRecipe) else InstanceRecipe.from_cfg(recipe)
        self.generator = LabelGenerator(weight, self.recipe.unary)

    @torch.no_grad()
    def prepare(self, features: Features, image: np.ndarray, layout: BoxLayout) -> InstanceTask:
        """Input of the CRF for each box of an image.

        Args:
            features (Features): Of the image.
            image (np.ndarray): (H, W, 3) uint8 RGB.
            layout (BoxLayout): Its boxes.
        """
        crf = self.generator.recipe.crf
        if not len(layout.boxes):
            return InstanceTask([], crf)
        maps = self.generator.maps(features, layout)
        background = self.generator.background(maps, layout)
        scores, _ = self.generator.box_scores(maps, layout)
        recipe = self.recipe
        cut = dict(margin=recipe.margin, min_margin=recipe.min_margin, side=recipe.side, max_scale=recipe.max_scale)
        crops = []
        for (x1, y1, x2, y2), score in zip(layout.boxes.tolist(), scores):
            probability = unary_probability(
                background[y1:y2, x1:x2],
                score[None],
                torch.ones_like(score[None]).bool(),
                temperature=recipe.unary.temperature,
            )[1]
            likely = (probability.logit(eps=1e-6) + recipe.centre * centre_odds(score.shape, score.device)).sigmoid()
            crops.append(InstanceCrop.cut(image, (x1, y1, x2, y2), likely.cpu().numpy(), **cut))
        return InstanceTask(crops, crf)

    @torch.no_grad()
    def finish(self, features: Features, layout: BoxLayout, masks: list[InstanceMask]) -> list[InstanceLabel]:
        """The labels of the instances of an image.

        Args:
            features (Features): That the CRF's input was prepared from; Y_ret takes those of the first view.
            layout (BoxLayout): Boxes of the image.
            masks (list[InstanceMask]): Result of the CRF, one a box.
        """
        found = [instance.mask for instance in masks]
        if self.recipe.front:
            found = smallest_in_front(layout, found)
        retrieved = self._retrieve(features[0].float(), layout, found)
        return [
            InstanceLabel(mask, mask != ret, instance.confidence)
            for mask, ret, instance in zip(found, retrieved, masks)
        ]

    def _retrieve(self, feats: Tensor, layout: BoxLayout, masks: list[np.ndarray]) -> list[np.ndarray]:
        """Y_ret of each instance on the pixels of its box (paper Eq. 8 and 9)."""
        if not masks:
            return []
        upsampling = Upsampling(
            feats.shape[1:], layout.size, self.generator.recipe.align_corners, feats.dtype, feats.device
        )
        norm = upsampling.norm(feats)
        background = torch.ones(1, *layout.size, dtype=torch.bool, device=feats.device)
        for (x1, y1, x2, y2), mask in zip(layout.boxes.tolist(), masks):
            background[0, y1:y2, x1:x2] &= ~torch.from_numpy(mask).to(feats.device)
        correlation = self._correlation(feats, background, upsampling, norm)[0]
        retrieved = []
        for start in range(0, len(masks), CHUNK):
            boxes = layout.boxes[start : start + CHUNK].tolist()
            regions = torch.zeros(len(boxes), *layout.size, dtype=torch.bool, device=feats.device)
            for region, (x1, y1, x2, y2), mask in zip(regions, boxes, masks[start:]):
                region[y1:y2, x1:x2] = torch.from_numpy(mask)
            better = self._correlation(feats, regions, upsampling, norm) > correlation
            retrieved += [one[y1:y2, x1:x2].cpu().numpy() for one, (x1, y1, x2, y2) in zip(better, boxes)]
        return retrieved

    @staticmethod
    def _correlation(feats: Tensor, regions: Tensor, upsampling: Upsampling, norm: Tensor) -> Tensor:
        """Cosine of every pixel's feature with the mean feature of each region, (C, H, W); zero for empty regions."""
        prototypes, _ = region_prototypes(feats, regions, upsampling)
        return correlation_maps(feats, prototypes, upsampling, norm)


def centre_odds(size: tuple[int, int], device: torch.device | str = 'cpu') -> Tensor:
    """How much the middle of a box is more likely to be its object, in log-odds (ours).

    Args:
        size (tuple[int, int]): Height and width of the box in pixels.
        device (torch.device | str): Defaults to 'cpu'.

    Returns:
        Tensor: (H, W), 1 in the middle, falling evenly to 0 on the inscribed ellipse and to 1 - sqrt(2) in the corners.
    """
    y, x = ((torch.arange(length, device=device) + 0.5) / length * 2 - 1 for length in size)
    return 1 - torch.hypot(y[:, None], x[None])


def smallest_in_front(layout: BoxLayout, masks: list[np.ndarray]) -> list[np.ndarray]:
    """Give pixels of several masks to the one with the smallest box; of two boxes of one size the later is in front.

    A mask of which nothing would be left stays as it is.

    Args:
        layout (BoxLayout): Boxes of the image.
        masks (list[np.ndarray]): (y2 - y1, x2 - x1) bool, one a box.

    Returns:
        list[np.ndarray]: The same without overlaps but for such masks.
    """
    taken = np.zeros(layout.size, bool)
    result = list(masks)
    x1, y1, x2, y2 = layout.boxes.T
    for k in np.lexsort([-np.arange(len(masks)), (x2 - x1) * (y2 - y1)]):
        inside = taken[y1[k] : y2[k], x1[k] : x2[k]]
        visible = masks[k] & ~inside
        if visible.any():
            result[k] = visible
        inside |= masks[k]
    return result
