"""How an image classifier's class activation maps are made and read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import constant_background, merge_views, power_background

# Maps of a batch of one normalised image: (1, 3, H', W') -> (1, C, h, w), before any ReLU.
MapMaker = Callable[[Tensor], Tensor]


@dataclass
class ActivationRecipe:
    """Class activation maps of several views, and a score of the background.

    The defaults are those of visual words; SEAM and what builds on it take ``scales=(0.5, 1.0, 1.5, 2.0)``,
    ``fuse='mean'``, ``clip='sum'``, ``normalise='range'`` and ``power=24`` or a level found on masks.

    Args:
        scales (tuple[float, ...]): Sizes of the image, as factors, at which the network sees it. Defaults to (1.0, 0.5,
            1.5, 2.0).
        flip (bool): Whether it also sees the mirror image at each of these. Defaults to True.
        fuse (str): 'max' or 'mean' of a view and its mirror image, see :func:`bana_mm.functional.merge_views`. Defaults
            to 'max'.
        clip (str): 'view' or 'sum', likewise. Defaults to 'view'.
        normalise (str): 'max' or 'range', likewise. Defaults to 'max'.
        level (float): Score of the background. Defaults to 0.14.
        power (float | None): The background's score is 1 minus the highest map to this power instead. Defaults to None.
        align_corners (bool): Of all resizing. Defaults to False (reference code).
        amp (bool): Whether the network runs in bfloat16 mixed precision. Defaults to False.

    Raises:
        ValueError: For an unknown field or a value out of range.
    """

    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    flip: bool = True
    fuse: str = 'max'
    clip: str = 'view'
    normalise: str = 'max'
    level: float = 0.14
    power: float | None = None
    align_corners: bool = False
    amp: bool = False

    def __post_init__(self) -> None:
        self.scales = tuple(self.scales)
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError(f'activations.scales must be at least one number above 0, got {self.scales!r}')
        merge_views([[torch.zeros(0, 1, 1)]], self.fuse, self.clip, self.normalise)  # names a wrong choice at once
        if not 0 <= self.level <= 1:
            raise ValueError(f'activations.level must lie in [0, 1], got {self.level!r}')
        if self.power is not None and not self.power > 0:
            raise ValueError(f'activations.power must be None or above 0, got {self.power!r}')

    @classmethod
    def from_cfg(cls, cfg: 'Mapping | ActivationRecipe | None') -> 'ActivationRecipe':
        """A recipe from a config's ``activations``."""
        if isinstance(cfg, cls):
            return cfg
        cfg, names = dict(cfg or {}), [one.name for one in fields(cls)]
        unknown = sorted(set(cfg) - set(names))
        if unknown:
            raise ValueError(f'unknown field {unknown[0]!r} in activations; it may have {", ".join(names)}')
        return cls(**cfg)

    def maps(self, make_maps: MapMaker, inputs: Tensor) -> Tensor:
        """Class activation maps of an image.

        Args:
            make_maps (Callable): The network, see :data:`MapMaker`.
            inputs (Tensor): The normalised image, (1, 3, H, W) float.

        Returns:
            Tensor: (C, H, W) float32 in [0, 1).
        """
        size = inputs.shape[2:]
        views = []
        for scale in self.scales:
            scaled = inputs
            if scale != 1:
                sides = [max(1, round(scale * length)) for length in size]
                scaled = F.interpolate(inputs, sides, mode='bilinear', align_corners=self.align_corners)
            with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.amp):
                pair = [make_maps(scaled)]
                if self.flip:
                    pair.append(make_maps(scaled.flip(-1)).flip(-1))
            views.append(
                [F.interpolate(one.float(), size, mode='bilinear', align_corners=self.align_corners)[0] for one in pair]
            )
        return merge_views(views, self.fuse, self.clip, self.normalise)

    def background(self, maps: Tensor) -> Tensor:
        """Score of the background, (H, W), from maps (C, H, W)."""
        if self.power is None:
            return constant_background(maps, self.level)
        return power_background(maps, self.power)
