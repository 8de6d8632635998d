"""How well the confidence sigma tells right labels from wrong ones (paper Eq. 11 and 12)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.model import is_model_wrapper
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from bana_mm.functional import confidence_map
from bana_mm.structures import IGNORE

from .precision_recall import PrecisionRecall

DEFAULT_GAMMA = 7.0  # paper


def cosine_head(model: nn.Module) -> nn.Module:
    """The decode head of a segmentation model, which must be a cosine classifier.

    Args:
        model (nn.Module): The model, or a wrapper of it.

    Raises:
        TypeError: If it is none.
    """
    model = model.module if is_model_wrapper(model) else model
    head = getattr(model, 'decode_head', None)
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    if not hasattr(head, 'temperature'):
        raise TypeError(
            "confidence is made of cosines, so the model's decode_head must be a "
            f'bana_mm.CosineDecodeHead, not {type(head).__name__}'
        )
    return head


def is_cosine_classifier(model: nn.Module) -> bool:
    """Whether :func:`cosine_head` finds its head."""
    try:
        cosine_head(model)
    except TypeError:
        return False
    return True


@torch.no_grad()
def image_confidence(model: nn.Module, image: np.ndarray, label: np.ndarray, gamma: float | None = None) -> np.ndarray:
    """Confidence of a model in the labels of a whole image.

    Args:
        model (nn.Module): Segmentation model with a cosine classifier, in evaluation mode.
        image (np.ndarray): (H, W, 3) uint8 BGR.
        label (np.ndarray): (H, W), 0 background, 1..L, 255 ignored.
        gamma (float | None): Damping of Eq. 12. Defaults to None, the loss's, or else 7.0 (paper).

    Returns:
        np.ndarray: sigma, (H, W) float32 in [0, 1], 0 where the label is 255.
    """
    return _confidence(model, image_logits(model, image), label, gamma)


@torch.no_grad()
def image_prediction(
    model: nn.Module, image: np.ndarray, label: np.ndarray | None = None, gamma: float | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """What a model says of a whole image, and its confidence in a label of it, from one pass.

    Args:
        model (nn.Module): Any segmentation model of mmseg in evaluation mode.
        image, gamma: See :func:`image_confidence`.
        label (np.ndarray | None): Likewise. Defaults to None, no confidence.

    Returns:
        tuple[np.ndarray, np.ndarray | None]: The prediction, (H, W) uint8; and sigma, or None where there is no label
        or the model is no cosine classifier.
    """
    logits = image_logits(model, image)
    prediction = logits.argmax(dim=0) if len(logits) > 1 else logits[0].sigmoid() > 0.5
    sigma = _confidence(model, logits, label, gamma) if label is not None and is_cosine_classifier(model) else None
    return prediction.to(torch.uint8).cpu().numpy(), sigma


def image_logits(model: nn.Module, image: np.ndarray) -> Tensor:
    """Logits of every pixel of an image for every class, (C, H, W), from the model's own prediction.

    Args:
        model (nn.Module): Segmentation model in evaluation mode.
        image (np.ndarray): (H, W, 3) uint8 BGR, seen at its own size.
    """
    size = image.shape[:2]
    data = dict(
        inputs=[torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))],
        data_samples=[SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))],
    )
    return model.test_step(data)[0].seg_logits.data


@dataclass
class ConfidenceQuality:
    """Sums over the doubted pixels of some images: those with a ground truth and a label that is not reliable.

    Attributes:
        pixels (int): Pixels with a label and a ground truth, doubted or not.
        right_sum, wrong_sum (float): Sums of sigma over the doubted pixels whose label is the ground truth, and the
            others.
        curve (PrecisionRecall): Of sigma as a score for being right, class 1; it counts these pixels.
    """

    pixels: int = 0
    right_sum: float = 0.0
    wrong_sum: float = 0.0

    def __post_init__(self) -> None:
        self.curve = PrecisionRecall(1)

    def update(self, sigma: np.ndarray, label: np.ndarray, reliable: np.ndarray, ground_truth: np.ndarray) -> None:
        """Add an image.

        Args:
            sigma (np.ndarray): (H, W) float in [0, 1].
            label (np.ndarray): (H, W) uint8, 255 where there is none.
            reliable (np.ndarray): S, (H, W) bool.
            ground_truth (np.ndarray): (H, W) uint8, 255 where nobody knows.
        """
        known = (label != IGNORE) & (ground_truth != IGNORE)
        doubted, right = known & ~reliable, label == ground_truth
        self.pixels += int(known.sum())
        self.right_sum += float(sigma[doubted & right].sum(dtype=np.float64))
        self.wrong_sum += float(sigma[doubted & ~right].sum(dtype=np.float64))
        self.curve.update(sigma, right, 1, doubted)

    def figures(self) -> dict[str, float]:
        """Shares and means in [0, 1], NaN where there is no such pixel.

        ``doubted`` of the pixels are; ``right`` of these have a right label, and ``right_by_weight`` counts each with
        its sigma, as the loss does; ``sigma_right`` and ``sigma_wrong`` are means; ``average_precision`` is that of
        finding right labels by sigma, which is ``right`` for a sigma that says nothing.
        """
        wrong, right = self.curve.counts[1].sum(axis=1).tolist()
        return dict(
            doubted=_ratio(right + wrong, self.pixels),
            right=_ratio(right, right + wrong),
            right_by_weight=_ratio(self.right_sum, self.right_sum + self.wrong_sum),
            sigma_right=_ratio(self.right_sum, right),
            sigma_wrong=_ratio(self.wrong_sum, wrong),
            average_precision=self.curve.average_precision(1),
        )


def measure_confidence(model: nn.Module, examples: Iterable, gamma: float | None = None) -> ConfidenceQuality:
    """Sigma of a model against the ground truth of training images.

    Args:
        model (nn.Module): See :func:`image_confidence`.
        examples (Iterable[TrainingExample]): Images with their labels.
        gamma (float | None): See :func:`image_confidence`. Defaults to None.

    Raises:
        ValueError: If an image has no mask, or its pipeline does not say which pixels are reliable.
    """
    quality = ConfidenceQuality()
    for example in examples:
        for what, value in (('mask beside its labels', example.ground_truth), ('reliable map', example.reliable)):
            if value is None:
                raise ValueError(f'image {example.name!r} has no {what}; both are needed to judge its confidence')
        sigma = image_confidence(model, example.image, example.label, gamma)
        quality.update(sigma, example.label, example.reliable, example.ground_truth)
    return quality


def _ratio(part: float, total: float) -> float:
    return part / total if total else float('nan')


def _loss_gamma(model: nn.Module) -> float:
    head = cosine_head(model)
    losses = head.loss_decode if isinstance(head.loss_decode, nn.ModuleList) else [head.loss_decode]
    return next((loss.gamma for loss in losses if hasattr(loss, 'gamma')), DEFAULT_GAMMA)


def _confidence(model: nn.Module, logits: Tensor, label: np.ndarray, gamma: float | None) -> np.ndarray:
    cosine = logits[None] / cosine_head(model).temperature
    target = torch.from_numpy(label.astype(np.int64))[None].to(cosine.device)
    return confidence_map(cosine, target, _loss_gamma(model) if gamma is None else gamma)[0].cpu().numpy()
