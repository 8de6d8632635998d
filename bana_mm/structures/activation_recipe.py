"""How an image classifier's class activation maps are put together, and become labels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import constant_background, merge_views, power_background

from .label_recipe import check_names

# The code that goes with visual words; its CRF knows rougher colours and a wider neighbourhood than BANA's.
_CRF_DEFAULTS = dict(bilateral=(4, 64, 3), gaussian=(3, 1), iterations=10, backend='auto')


@dataclass
class ActivationRecipe:
    """Class activation maps of several views, a score of the background, and a CRF.

    The defaults are those of visual words. SEAM and what builds on it take ``scales=(0.5, 1.0, 1.5, 2.0)``,
    ``fuse='mean'``, ``clip='sum'``, ``normalise='range'``, a level that is found on masks, and for the CRF ``power=24``
    with ``temperature=None`` and ``crf=dict(bilateral=(10, 80, 13), gaussian=(3, 3))``.

    Args:
        scales (tuple[float, ...]): Sizes of the image, as factors, at which the network sees it. Defaults to (1.0, 0.5,
            1.5, 2.0).
        flip (bool): Whether it also sees the mirror image at each of these. Defaults to True.
        fuse (str): 'max' or 'mean' of a view and its mirror image, see :func:`bana_mm.functional.merge_views`. Defaults
            to 'max'.
        clip (str): 'view' or 'sum', likewise. Defaults to 'view'.
        normalise (str): 'max' or 'range', likewise. Defaults to 'max'.
        level (float): Score of the background for labels without a CRF. Defaults to 0.14.
        crf_level (float): Score of the background in the CRF's unaries. Defaults to 0.15.
        power (float | None): In these, the background's score is 1 minus the highest map to this power instead.
            Defaults to None.
        temperature (float | None): Of the softmax that makes probabilities of the scores; None divides by their sum.
            Defaults to 1.0.
        crf (dict): ``bilateral``, ``gaussian``, ``iterations`` and ``backend`` of
            :func:`bana_mm.functional.dense_crf`; missing ones take their default. Defaults to (4, 64, 3), (3, 1), 10
            and 'auto'.
        align_corners (bool): Of all resizing. Defaults to False (reference code).
        amp (bool): Whether the network runs in bfloat16 mixed precision. Defaults to False.

    Raises:
        ValueError: For an unknown field or a value out of range; the message names it.
    """

    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    flip: bool = True
    fuse: str = 'max'
    clip: str = 'view'
    normalise: str = 'max'
    level: float = 0.14
    crf_level: float = 0.15
    power: float | None = None
    temperature: float | None = 1.0
    crf: dict = field(default_factory=dict)
    align_corners: bool = False
    amp: bool = False

    def __post_init__(self) -> None:
        self.scales = tuple(self.scales)
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError(f'activations.scales must be at least one number above 0, got {self.scales!r}')
        merge_views([[torch.zeros(0, 1, 1)]], self.fuse, self.clip, self.normalise)  # names a wrong choice at once
        for name in ('level', 'crf_level'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'activations.{name} must lie in [0, 1], got {getattr(self, name)!r}')
        for name in ('power', 'temperature'):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f'activations.{name} must be None or above 0, got {value!r}')
        check_names('activations.crf', self.crf, _CRF_DEFAULTS)
        self.crf = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in {**_CRF_DEFAULTS, **self.crf}.items()
        }

    @classmethod
    def from_cfg(cls, cfg: 'Mapping[str, Any] | ActivationRecipe | None') -> 'ActivationRecipe':
        """A recipe from a config's ``activations``: the fields to change, or None for the defaults."""
        if isinstance(cfg, ActivationRecipe):
            return cfg
        cfg = dict(cfg or {})
        check_names('activations', cfg, [one.name for one in fields(cls)])
        return cls(**cfg)

    @property
    def layers(self) -> tuple[str, ...]:
        """What labels need of the network: its features, and its activation maps before any ReLU."""
        return ('last', 'maps')

    def merge(self, views: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Activation maps of an image from those of its views.

        Args:
            views (Sequence[Tensor]): (C, h, w) float each, before any ReLU: scales in order, each followed by its
                mirror image turned back.
            size (tuple[int, int]): Height and width of the image in pixels.

        Returns:
            Tensor: (C, H, W) float32 in [0, 1).
        """
        if not views[0].size(0):
            return views[0].new_zeros(0, *size, dtype=torch.float32)
        upsampled = [
            F.interpolate(view[None].float(), size, mode='bilinear', align_corners=self.align_corners)[0]
            for view in views
        ]
        number = 2 if self.flip else 1
        scales = [upsampled[start : start + number] for start in range(0, len(upsampled), number)]
        return merge_views(scales, self.fuse, self.clip, self.normalise)

    def background(self, maps: Tensor) -> Tensor:
        """Score of the background for labels without a CRF, (H, W), from maps (C, H, W)."""
        return constant_background(maps, self.level)

    def crf_background(self, maps: Tensor) -> Tensor:
        """Score of the background in the CRF's unaries, (H, W), from maps (C, H, W)."""
        return constant_background(maps, self.crf_level) if self.power is None else power_background(maps, self.power)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON would give them back."""
        values = dict(asdict(self), scales=list(self.scales))
        values['crf'] = {name: list(v) if isinstance(v, tuple) else v for name, v in values['crf'].items()}
        return values
