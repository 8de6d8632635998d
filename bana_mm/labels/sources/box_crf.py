"""DenseCRF started from boxes, the hand-crafted labels of WSSL."""

import math

import numpy as np

from bana_mm.functional import dense_crf
from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask

from ..item import LabelItem
from .without_network import ObjectSource


@LABEL_SOURCES.register_module(name=['box_crf', 'BoxCRFSource'])
class BoxCRFSource(ObjectSource):
    """DenseCRF between each box's centre and all that lies outside the box (Papandreou et al. 2015, "Bbox-Seg").

    Theirs: object and background are told apart box by box, with DeepLab's fully connected CRF; the centre of the box,
    20 % of its area, is held to be the object, all outside the box background, through the unary terms, and the CRF
    decides on the pixels between. They chose the CRF's parameters on images with masks and do not give them.

    Ours: the centre is a rectangle of the box's shape, of at least one pixel; between, object and background are
    equally likely at first (``prior``); the centre stays object even where the CRF takes it away, so that no box is
    empty but for smaller boxes in front of it; a pixel at exactly one half is background; the CRF's parameters default
    to those of Y_crf. A box that is the whole image is cut like any other, on its centre alone.

    Args:
        centre (float): Share of the box's area that is object for certain, in (0, 1]. Defaults to 0.2.
        prior (float): Probability of the object between, in (0, 1). Defaults to 0.5.
        bilateral (Sequence[float] | None): See :func:`bana_mm.functional.dense_crf`. Defaults to (4, 55, 3).
        gaussian (Sequence[float] | None): See there. Defaults to (3, 3).
        iterations (int): Mean-field steps. Defaults to 10.
        backend (str): 'auto', 'pydensecrf' or 'torch'. Defaults to 'auto'.

    Raises:
        ValueError: If ``centre`` or ``prior`` is out of range.
    """

    name = 'box_crf'

    def __init__(
        self,
        centre: float = 0.2,
        prior: float = 0.5,
        bilateral: tuple[float, float, float] | None = (4, 55, 3),
        gaussian: tuple[float, float] | None = (3, 3),
        iterations: int = 10,
        backend: str = 'auto',
    ) -> None:
        if not 0 < centre <= 1:
            raise ValueError(f'box_crf: centre must be a share of the box in (0, 1], got {centre!r}')
        if not 0 < prior < 1:
            raise ValueError(f'box_crf: prior must be a probability in (0, 1), got {prior!r}')
        self.centre = centre
        self.prior = prior
        self.crf = dict(bilateral=bilateral, gaussian=gaussian, iterations=iterations, backend=backend)

    def object_mask(self, item: LabelItem, k: int) -> InstanceMask:
        image, (x1, y1, x2, y2) = item.image, item.layout.boxes[k].tolist()
        (left, right), (top, bottom) = self._middle(x1, x2), self._middle(y1, y2)
        probability = np.zeros((2, *image.shape[:2]), dtype=np.float32)  # background, object
        probability[1, y1:y2, x1:x2] = self.prior
        probability[1, top:bottom, left:right] = 1
        probability[0] = 1 - probability[1]
        posterior = dense_crf(image, probability, **self.crf)
        found = posterior[1] > posterior[0]
        found[top:bottom, left:right] = True
        return InstanceMask(found[y1:y2, x1:x2])

    def _middle(self, low: int, high: int) -> tuple[int, int]:
        """The middle of [low, high), in whole pixels, that makes up its share of one axis."""
        length = max(1, round((high - low) * math.sqrt(self.centre)))
        start = low + (high - low - length) // 2
        return start, start + length
