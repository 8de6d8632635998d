"""The feature similarity loss of classifiers and of segmentation models."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import box_predictions, class_predictions, feature_similarity_loss, grid_colours
from bana_mm.functional.precision import at_least_float32
from bana_mm.registry import MODELS

from .dense_loss import DenseInputs, DenseLoss
from .reliability_loss import ReliabilityLoss

KINDS = ('maxnorm', 'sigmoid', 'softmax', 'boxes')


@MODELS.register_module()
class FeatureSimilarityLoss(DenseLoss):
    """Feature similarity loss of a classifier, see :func:`bana_mm.functional.feature_similarity_loss`.

    Colours are those of the network's input; where the data pipeline has ``KeepColours``, those that it kept. The term
    is logged as ``loss_fsl``.

    Args:
        prediction (str): 'maxnorm' (reference code), 'sigmoid' or 'softmax' of
            :func:`bana_mm.functional.class_predictions`, of a box classifier inside the boxes of a class alone; or of a
            box classifier 'boxes' (ours): :func:`bana_mm.functional.box_predictions`, with the definite background held
            fixed, so that colour flows into the boxes from outside, and cells left out of which only ignored boxes
            tell. Defaults to 'maxnorm'.
        mu (float): See :func:`bana_mm.functional.colour_gate`. Defaults to 2.5.
        sigma (float | None): Reach of a cell, in cells. Defaults to 5.0.
        radius (int | None): Window of pairs, in cells. Defaults to None, all pairs (reference code).
        colours (str): 'bilinear' (reference code) or 'area' (ours), see :func:`bana_mm.functional.grid_colours`.
            Defaults to 'bilinear'.
        padding (bool): Whether the padding counts (reference code). Defaults to True; with 'boxes' it never does.
        loss_weight (float): Defaults to 1.0 (reference code, VOC; COCO: 0.2).

    Raises:
        ValueError: For another prediction or kind of colours.
    """

    def __init__(
        self,
        prediction: str = 'maxnorm',
        mu: float = 2.5,
        sigma: float | None = 5.0,
        radius: int | None = None,
        colours: str = 'bilinear',
        padding: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if prediction not in KINDS:
            raise ValueError(f'prediction must be one of {KINDS}, got {prediction!r}')
        if colours not in ('bilinear', 'area'):
            raise ValueError(f"colours must be 'bilinear' or 'area', got {colours!r}")
        self.prediction = prediction
        self.mu = mu
        self.sigma = sigma
        self.radius = radius
        self.colours = colours
        self.padding = padding
        self.loss_weight = loss_weight

    def forward(self, dense: DenseInputs) -> dict[str, Tensor]:
        """See :class:`DenseLoss`."""
        boxes = dense.boxes
        valid = None if self.padding else dense.visible
        fixed = None
        if self.prediction == 'boxes':
            if boxes is None or not dense.has_background:
                raise TypeError("FeatureSimilarityLoss: prediction='boxes' is for a BoxClassifier")
            regions = boxes.regions(dense.num_classes)
            prediction = box_predictions(dense.logits, regions)
            valid = dense.visible & (regions.any(dim=1) | ~boxes.ignored)
            fixed = boxes.background
        else:
            present = dense.present if boxes is None else boxes.regions(dense.num_classes)
            prediction = class_predictions(dense.logits, present, self.prediction)
        loss = feature_similarity_loss(
            dense.colours(self.colours), prediction, self.mu, self.sigma, self.radius, valid, fixed
        )
        return dict(loss_fsl=self.loss_weight * loss)

    def extra_repr(self) -> str:
        return (
            f'prediction={self.prediction!r}, mu={self.mu}, sigma={self.sigma}, radius={self.radius}, '
            f'colours={self.colours!r}, loss_weight={self.loss_weight}'
        )


@MODELS.register_module()
class SegFeatureSimilarityLoss(ReliabilityLoss):
    """Feature similarity loss of a segmentation model, on pairs of cells that touch an unreliable pixel (ours).

    Labels of reliable pixels are trusted; where they are not to be trusted there is little to go by, and colours may
    say more. Cells without an unreliable pixel are held fixed, and cells of which most pixels are ignored are left out.
    It stands beside another loss in the ``loss_decode`` of a :class:`CosineDecodeHead`. The data pipeline needs
    ``KeepColours``. The term is logged as ``loss_fsl``.

    Args:
        cell_size (int): Pixels a side that make a cell: logits are averaged over them. Defaults to 8, which makes 41 x
            41 cells of a crop of 321 x 321 pixels.
        mu (float): See :func:`bana_mm.functional.colour_gate`. Defaults to 2.5.
        sigma (float | None): Reach of a cell, in cells. Defaults to 5.0.
        radius (int | None): Window of pairs, in cells. Defaults to 8.
        balance (float): Factor of the term. Defaults to 0.1.
        loss_weight (float): A further one. Defaults to 1.0.
        loss_name (str): See :class:`ReliabilityLoss`. Defaults to 'loss_similarity'.
    """

    needs_colours = True

    def __init__(
        self,
        cell_size: int = 8,
        mu: float = 2.5,
        sigma: float | None = 5.0,
        radius: int | None = 8,
        balance: float = 0.1,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_similarity',
    ) -> None:
        super().__init__(balance, loss_weight, loss_name)
        if cell_size < 1:
            raise ValueError(f'SegFeatureSimilarityLoss: cell_size must be at least 1, got {cell_size}')
        self.cell_size = cell_size
        self.mu = mu
        self.sigma = sigma
        self.radius = radius
        self._colours: tuple[Tensor, Tensor] | None = None

    @contextmanager
    def given(
        self, reliable: Tensor, temperature: float, colours: tuple[Tensor, Tensor] | None = None
    ) -> Iterator[None]:
        """See :class:`ReliabilityLoss`; ``colours`` are images (N, 3, H, W) in [0, 1] and which pixels they have."""
        self._colours = colours
        try:
            with super().given(reliable, temperature):
                yield
        finally:
            self._colours = None

    def terms(
        self, seg_logit: Tensor, label: Tensor, reliable: Tensor, temperature: float, ignore_index: int
    ) -> dict[str, Tensor]:
        if self._colours is None:
            raise TypeError(
                'SegFeatureSimilarityLoss needs the colours of the images: put dict(type="bana_mm.KeepColours") into '
                'the training pipeline, after the transforms that move pixels and before those that change colours'
            )
        images, visible = self._colours
        labelled = label != ignore_index
        logits = self._pool(seg_logit)
        probability = at_least_float32(logits).softmax(dim=1)
        unreliable = (labelled & ~reliable)[:, None].to(probability.dtype)
        loss = feature_similarity_loss(
            grid_colours(images, probability.shape[2:], 'area', self.cell_size, False, visible),
            probability,
            self.mu,
            self.sigma,
            self.radius,
            valid=(self._pool(labelled[:, None].to(probability.dtype)) >= 0.5)[:, 0],
            fixed=(self._pool(unreliable) == 0)[:, 0],
        )
        return dict(loss_fsl=self.balance * loss)

    def _pool(self, values: Tensor) -> Tensor:
        """Means over the pixels of each cell; those at the far ends may be smaller."""
        return F.avg_pool2d(values, self.cell_size, ceil_mode=True)

    def extra_repr(self) -> str:
        return (
            f'cell_size={self.cell_size}, mu={self.mu}, sigma={self.sigma}, radius={self.radius}, '
            f'{super().extra_repr()}'
        )
