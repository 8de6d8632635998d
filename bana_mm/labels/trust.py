"""How far the mask of a box is to be trusted: one calibrated number, and the pixels that are doubtful (ours).

Evidence comes from :mod:`bana_mm.functional.mask_trust`; nothing here looks at a true mask. docs/results/trust.md says
how the weights below were fitted, and how well the score ranks masks by their IoU.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from bana_mm.functional.mask_trust import doubt_stability, extent_share, jitter_stability, mask_iou, side_gaps
from bana_mm.structures import InstanceMask

MEASURES = ('jitter', 'extent', 'fill_gap', 'agreement', 'doubts')
# Fitted on masks of GrabCut and of the CRF from boxes, on training images: docs/results/trust.md. Neither says where it
# is in doubt; doubts compare two opinions on a mask, as the agreement with a second source does, and weigh the same.
BIAS, USUAL_FILL = 1.09, 0.56
WEIGHTS = dict(jitter=2.16, extent=1.55, fill_gap=-0.16, agreement=1.87, doubts=1.87)
USUAL = dict(jitter=0.86, extent=0.85, fill_gap=0.16, agreement=0.73, doubts=0.73)


@dataclass
class MaskEvidence:
    """What speaks for or against a mask; None where nothing is known.

    Args:
        fill (float): Share of the box that the mask has.
        touched (int): Sides of the box, 0..4, that the mask comes close to.
        extent (float): Share of the box that the smallest box around the mask has.
        fill_gap (float): By how much ``fill`` differs from the usual share of the class.
        jitter (float | None): Stability when the box moves by a few pixels.
        doubts (float | None): IoU of the smallest and the largest mask that the source's own unreliable pixels allow;
            of a SAM its stability under another threshold.
        agreement (float | None): IoU with the mask of a second source.
        predicted_iou (float | None): What the source itself says that the IoU is.
    """

    fill: float
    touched: int
    extent: float
    fill_gap: float
    jitter: float | None = None
    doubts: float | None = None
    agreement: float | None = None
    predicted_iou: float | None = None


@dataclass(eq=False)
class TrustedMask(InstanceMask):
    """A mask with the reasons for its score.

    Args:
        mask, unreliable, score: See :class:`InstanceMask`; the score estimates the IoU with the true mask.
        evidence (MaskEvidence | None): Defaults to None.
        passes (bool): Whether the mask is good enough for a fall-back not to ask further. Defaults to True.
        flipped (np.ndarray | None): (h, w) bool, those of the unreliable pixels that differ in the mask of a moved box.
            Defaults to None.
    """

    evidence: MaskEvidence | None = None
    passes: bool = True
    flipped: np.ndarray | None = None


@dataclass
class TrustRule:
    r"""What is measured of a mask, and how it adds up.

    The score estimates the mask's IoU with the true one,

    .. math:: s = \sigma\Big(b + \sum_i w_i (x_i - \mu_i)\Big)

    over the measures :math:`x_i` that are known: an unknown one counts as if it had its usual value :math:`\mu_i`.
    Where the source predicts the IoU itself (SAM), :math:`b` is the log-odds of that prediction. A mask that stands in
    for one that was not found (all of its box, all of it unreliable) has the score 0.

    Args:
        shift (float): Boxes are moved by this share of their width and height. Defaults to 0.05.
        min_shift (int): At least this many pixels. Defaults to 1.
        touch (float): A side is touched by a mask that comes as close as this share of the width or height. Defaults to
            0.05.
        usual_fill (float): Share of its box that an object has. Defaults to 0.56, the mean of the images of the fit.
        fills (dict[str, float]): The same for classes of which it is known, by name, such as those that
            ``tools/analysis/filling_rates.py`` prints. Defaults to none.
        bias (float): b. Defaults to the fitted one, as do all weights and usual values.
        weights (dict[str, float]): w by the names of the measures: jitter, extent, fill_gap, agreement, doubts.
        usual (dict[str, float]): mu, likewise.
        min_score (float): A fall-back goes on to the next source where the score is lower. Defaults to 0.7.
        min_touched (int): Or where the mask touches fewer sides. Defaults to 4.
        max_fill (float): Or where it has a larger share of its box, as what stands in for a mask that was not found
            often does. Defaults to 0.98.

    Raises:
        ValueError: For an unknown field or measure, or a value out of range; the message names it.
    """

    shift: float = 0.05
    min_shift: int = 1
    touch: float = 0.05
    usual_fill: float = USUAL_FILL
    fills: dict[str, float] = field(default_factory=dict)
    bias: float = BIAS
    weights: dict[str, float] = field(default_factory=dict)
    usual: dict[str, float] = field(default_factory=dict)
    min_score: float = 0.7
    min_touched: int = 4
    max_fill: float = 0.98

    def __post_init__(self) -> None:
        for name, least, most in (
            ('shift', 0, 0.5),
            ('min_shift', 0, math.inf),
            ('touch', 0, 1),
            ('usual_fill', 0, 1),
            ('min_score', 0, 1),
            ('min_touched', 0, 4),
            ('max_fill', 0, 1),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f'trust rule: {name} must lie in [{least}, {most}], got {value!r}')
        for name in ('weights', 'usual'):
            unknown = sorted(set(getattr(self, name)) - set(MEASURES))
            if unknown:
                raise ValueError(f'trust rule: {name} has {unknown[0]!r}; it may have {", ".join(MEASURES)}')
        self.weights, self.usual = {**WEIGHTS, **self.weights}, {**USUAL, **self.usual}

    @classmethod
    def from_cfg(cls, cfg: 'Mapping[str, Any] | TrustRule | None') -> 'TrustRule':
        """From a dict of the fields to change, or None for the defaults."""
        if isinstance(cfg, cls):
            return cfg
        cfg = dict(cfg or {})
        names = [one.name for one in fields(cls)]
        unknown = sorted(set(cfg) - set(names))
        if unknown:
            raise ValueError(f'trust rule: unknown field {unknown[0]!r}; it may have {", ".join(names)}')
        return cls(**cfg)

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-like."""
        return asdict(self)

    def judge(
        self,
        found: InstanceMask,
        box: Sequence[int],
        class_name: str | None = None,
        jittered: Sequence[np.ndarray] = (),
        jittered_boxes: Sequence[Sequence[int]] = (),
        second: np.ndarray | None = None,
        score_is_iou: bool = False,
    ) -> TrustedMask:
        """Judge the mask of a box.

        Args:
            found (InstanceMask): The mask.
            box (Sequence[int]): xyxy in whole pixels, half-open.
            class_name (str | None): Of its class, for the usual share of the box. Defaults to None.
            jittered (Sequence[np.ndarray]): Masks of the same object from moved boxes, each on the pixels of its own.
            jittered_boxes (Sequence[Sequence[int]]): These boxes.
            second (np.ndarray | None): Mask of the same box from a second source. Defaults to None.
            score_is_iou (bool): Whether the mask's own score predicts its IoU. Defaults to False.

        Returns:
            TrustedMask: The mask; unreliable are the pixels that the source says are, those that differ in a mask of
            another box, and those in which the second source differs.
        """
        mask, unreliable = found.mask, found.unreliable
        jitter, flipped = jitter_stability(mask, box, jittered, jittered_boxes)
        fill = float(mask.mean())
        evidence = MaskEvidence(
            fill=fill,
            touched=int((side_gaps(mask) <= self.touch).sum()),
            extent=extent_share(mask),
            fill_gap=abs(fill - self.fills.get(class_name, self.usual_fill)),
            jitter=jitter,
            doubts=doubt_stability(mask, unreliable) if unreliable.any() else None,
            agreement=None if second is None else mask_iou(mask, second),
            predicted_iou=found.score if score_is_iou else None,
        )
        score = 0.0 if found.is_stand_in else self.score(evidence)
        doubtful = unreliable | flipped
        if second is not None:
            doubtful |= mask != second
        return TrustedMask(mask, doubtful, score, evidence, self._passes(evidence, score), flipped)

    def score(self, evidence: MaskEvidence) -> float:
        """The estimated IoU, in (0, 1)."""
        odds = self.bias
        if evidence.predicted_iou is not None:
            sure = min(max(evidence.predicted_iou, 0.01), 0.99)
            odds = math.log(sure / (1 - sure))
        for name in MEASURES:
            value = getattr(evidence, name)
            if value is not None:
                odds += self.weights[name] * (value - self.usual[name])
        return 1 / (1 + math.exp(-odds))

    def _passes(self, evidence: MaskEvidence, score: float) -> bool:
        return score >= self.min_score and evidence.touched >= self.min_touched and evidence.fill <= self.max_fill


def first_that_passes(candidates: Sequence[TrustedMask]) -> int:
    """Which of several masks of a box a fall-back takes.

    Args:
        candidates (Sequence[TrustedMask]): Of the sources in their order; at least one.

    Returns:
        int: The first that passes; without any the one with the highest score, of equals the first.
    """
    for number, one in enumerate(candidates):
        if one.passes:
            return number
    return max(range(len(candidates)), key=lambda number: candidates[number].score)
