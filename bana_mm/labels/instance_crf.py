"""The CRFs of an image's instances, once the network has seen it: small crops, one a box; what worker processes run."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from bana_mm.functional import dense_crf
from bana_mm.structures import InstanceMask


@dataclass
class InstanceCrop:
    """A box with its margin, scaled for the CRF.

    Args:
        image (np.ndarray): (h, w, 3) uint8 RGB.
        probability (np.ndarray): (h, w) float16, of the instance; zero outside the box.
        size (tuple[int, int]): Height and width of the crop in pixels of the image.
        box (tuple[int, int, int, int]): The box in pixels of the unscaled crop, xyxy, half-open.
    """

    image: np.ndarray
    probability: np.ndarray
    size: tuple[int, int]
    box: tuple[int, int, int, int]

    @classmethod
    def cut(
        cls,
        image: np.ndarray,
        box: tuple[int, int, int, int],
        probability: np.ndarray,
        margin: float = 0.2,
        min_margin: int = 8,
        side: int = 128,
        max_scale: float = 8.0,
    ) -> 'InstanceCrop':
        """Cut a box out of an image.

        Args:
            image (np.ndarray): (H, W, 3) uint8 RGB.
            box (tuple[int, int, int, int]): xyxy in pixels, half-open, not empty, inside the image.
            probability (np.ndarray): (y2 - y1, x2 - x1) float32, of the instance.
            margin, min_margin, side, max_scale: See :class:`bana_mm.structures.InstanceRecipe`.
        """
        x1, y1, x2, y2 = box
        longer = max(x2 - x1, y2 - y1)
        around = max(min_margin, round(margin * longer))
        left, top = max(x1 - around, 0), max(y1 - around, 0)
        crop = image[top : y2 + around, left : x2 + around]
        inside = (x1 - left, y1 - top, x2 - left, y2 - top)
        whole = np.zeros(crop.shape[:2], np.float32)
        whole[inside[1] : inside[3], inside[0] : inside[2]] = probability
        size, scale = crop.shape[:2], min(side / longer, max_scale)
        if scale != 1:
            scaled = tuple(max(1, round(scale * length)) for length in reversed(size))
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            crop, whole = (cv2.resize(pixels, scaled, interpolation=interpolation) for pixels in (crop, whole))
        return cls(np.ascontiguousarray(crop), whole.astype(np.float16), size, inside)

    def in_box(self, values: np.ndarray) -> np.ndarray:
        """A map over the scaled crop on the pixels of the box: (h, w) float -> (y2 - y1, x2 - x1) float."""
        if values.shape != self.size:
            values = cv2.resize(values, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        x1, y1, x2, y2 = self.box
        return values[y1:y2, x1:x2]


@dataclass
class InstanceTask:
    """Input of the CRF for the instances of an image.

    Args:
        crops (list[InstanceCrop]): One a box.
        crf (dict): Keyword arguments of :func:`bana_mm.functional.dense_crf`.
    """

    crops: list[InstanceCrop]
    crf: dict

    def run(self) -> list[InstanceMask]:
        """See :func:`crf_instances`; in any process."""
        return crf_instances(self)


def crf_instances(task: InstanceTask, device: str | torch.device = 'cpu') -> list[InstanceMask]:
    """The mask of each box: a CRF of two labels, this instance and all else, on its crop.

    Where the CRF leaves a box without a pixel, its mask is what the unary gives it: the pixels at which the instance is
    more likely than the background, or, where there are none, those at which it is most likely.

    Args:
        task (InstanceTask): From :meth:`bana_mm.labels.instance_generator.InstanceLabelGenerator.prepare`.
        device (str | torch.device): Where the CRF's torch backend runs. Defaults to 'cpu'.

    Returns:
        list[InstanceMask]: Y_crf of each box, of at least one pixel; its score is the mean posterior over them.
    """
    return [_crf_mask(crop, task.crf, device) for crop in task.crops]


def _crf_mask(crop: InstanceCrop, crf: dict, device: str | torch.device) -> InstanceMask:
    probability = crop.probability.astype(np.float32)
    both = torch.from_numpy(np.stack([1 - probability, probability])).to(device)
    posterior = crop.in_box(dense_crf(crop.image, both, **crf)[1].cpu().numpy())
    mask = posterior > 0.5
    if not mask.any():
        unary = crop.in_box(probability)
        mask = unary >= min(unary.max(), np.nextafter(np.float32(0.5), np.float32(1)))
    return InstanceMask(mask, score=float(posterior[mask].mean()))
