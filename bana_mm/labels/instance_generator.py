"""Masks of instances from the features of an image, in three steps around the CRF."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import Upsampling, correlation_maps, region_prototypes, unary_probability
from bana_mm.structures import BoxLayout, InstanceMask, InstanceRecipe, smallest_in_front
from bana_mm.structures.activation_maps import Features, activation_maps, upsampling_of

from .instance_crf import InstanceCrop, InstanceTask, crf_instances
from .unaries import background_unary, box_scores

CHUNK = 16  # instances whose maps at image size are in memory at once


class InstanceLabelGenerator:
    """Turn features and boxes into one CRF input a box, and its masks into labels with their reliable pixels.

    What the paper says of instances is that unseen classes take 1 - A as foreground score, and that the loss is on the
    pixels on which Y_crf and Y_ret agree. Ours is the rest: an instance is told apart from all else (background, other
    instances of its class or of others) by a CRF of two labels on a crop around its box, scaled to one size; objects
    are more likely in the middle of their boxes; where masks overlap the smaller box is in front; and Y_ret compares
    the mean feature of the instance's mask with that of all pixels that are in no mask of the image::

        task = generator.prepare(features, image, layout)
        found = task.run()  # in any process
        masks = generator.finish(features, layout, found)

    Args:
        weight (Tensor): Classifier weights, (L + 1, D), row 0 for the background, one for each class of the data set:
            zeros for unseen ones, see :func:`bana_mm.labels.class_weights.weight_of_classes`.
        recipe (InstanceRecipe | dict | None): Parameters. Defaults to None, their defaults.
    """

    def __init__(self, weight: Tensor, recipe: InstanceRecipe | dict | None = None) -> None:
        self.weight = weight.detach().float()
        self.recipe = recipe if isinstance(recipe, InstanceRecipe) else InstanceRecipe.from_cfg(recipe)

    @torch.no_grad()
    def prepare(self, features: Features, image: np.ndarray, layout: BoxLayout) -> InstanceTask:
        """Input of the CRF for each box of an image.

        Args:
            features (Features): Of the image.
            image (np.ndarray): (H, W, 3) uint8 RGB.
            layout (BoxLayout): Its boxes.
        """
        recipe, unary = self.recipe, self.recipe.unary
        if not len(layout.boxes):
            return InstanceTask([], unary.crf)
        maps = activation_maps(features, layout, self.weight, unary)
        background = background_unary(maps, layout, unary)
        scores, _ = box_scores(maps, layout, unary)
        cut = dict(margin=recipe.margin, min_margin=recipe.min_margin, side=recipe.side, max_scale=recipe.max_scale)
        crops = []
        for (x1, y1, x2, y2), score in zip(layout.boxes.tolist(), scores):
            everywhere = torch.ones_like(score[None]).bool()
            probability = unary_probability(
                background[y1:y2, x1:x2], score[None], everywhere, temperature=unary.temperature
            )[1]
            likely = (probability.logit(eps=1e-6) + recipe.centre * centre_odds(score.shape, score.device)).sigmoid()
            crops.append(InstanceCrop.cut(image, (x1, y1, x2, y2), likely.cpu().numpy(), **cut))
        return InstanceTask(crops, unary.crf)

    def run_on_device(self, tasks: Sequence[InstanceTask]) -> list[list[InstanceMask]]:
        """Y_crf of the instances of several images on the device of the weights."""
        return [crf_instances(task, self.weight.device) for task in tasks]

    @torch.no_grad()
    def finish(self, features: Features, layout: BoxLayout, found: list[InstanceMask]) -> dict[str, list[InstanceMask]]:
        """Both masks of each instance of an image.

        Args:
            features (Features): That the CRF's input was prepared from; Y_ret takes those of the first view.
            layout (BoxLayout): Boxes of the image.
            found (list[InstanceMask]): Result of the CRF, one a box.

        Returns:
            dict[str, list[InstanceMask]]: ``Y_crf`` and ``Y_ret``, of at least one pixel each; the pixels in which they
            differ are unreliable.
        """
        masks = [instance.mask for instance in found]
        if self.recipe.front:
            masks = smallest_in_front(layout, masks)
        both: dict[str, list[InstanceMask]] = dict(Y_crf=[], Y_ret=[])
        for mask, ret, instance in zip(masks, self._retrieve(features[0]['last'].float(), layout, masks), found):
            both['Y_crf'].append(InstanceMask(mask, mask != ret, instance.score))
            both['Y_ret'].append(InstanceMask(ret if ret.any() else mask, mask != ret, instance.score))
        return both

    def _retrieve(self, feats: Tensor, layout: BoxLayout, masks: list[np.ndarray]) -> list[np.ndarray]:
        """Y_ret of each instance on the pixels of its box (paper Eq. 8 and 9)."""
        if not masks:
            return []
        upsampling = upsampling_of(feats, layout, self.recipe.unary)
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
