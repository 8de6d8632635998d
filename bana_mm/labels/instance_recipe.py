"""The parameters of instance labels."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .recipe import LabelRecipe


@dataclass
class InstanceRecipe:
    """How the unaries of each box become the mask of its instance (ours; the paper gives no rule).

    Args:
        unary (dict | LabelRecipe): Unaries, CRF parameters and views, as in a config's ``label_recipe`` (those of its
            fields that concern the competition of classes have no effect). Defaults to the paper's, whatever the
            config's label recipe is: what is better for VOC's label maps was worse for COCO's instances.
        margin (float): What is cut out around a box for its CRF, as a share of the box's longer side. It is background
            for certain. Defaults to 0.2.
        min_margin (int): The least margin, in pixels. Defaults to 8.
        side (int): For the CRF a box and its margin are scaled so that the longer side of the box has so many pixels;
            its standard deviations stay in pixels, so they grow with the object. Defaults to 128.
        max_scale (float): Small boxes are enlarged by this factor at most. Defaults to 8.0.
        centre (float): Log-odds added to the instance's unary in the middle of its box. They fall evenly towards the
            edges, are zero on the ellipse inscribed in the box, and negative in its corners. Defaults to 0.7.
        front (bool): Where masks overlap, whether the pixels belong to the instance with the smallest box alone,
            unless that leaves another one without any. Defaults to True.

    Raises:
        ValueError: For an unknown field or a value out of range; the message names it.
    """

    unary: LabelRecipe = field(default_factory=LabelRecipe)
    margin: float = 0.2
    min_margin: int = 8
    side: int = 128
    max_scale: float = 8.0
    centre: float = 0.7
    front: bool = True

    def __post_init__(self) -> None:
        self.unary = LabelRecipe.from_cfg(self.unary)
        for name in ('margin', 'centre'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'instance_recipe.{name} must be at least 0, got {getattr(self, name)!r}')
        if not self.max_scale > 0:
            raise ValueError(f'instance_recipe.max_scale must be above 0, got {self.max_scale!r}')
        for name, least in (('min_margin', 0), ('side', 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f'instance_recipe.{name} must be an int of at least {least}, got {value!r}')

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any] | None) -> 'InstanceRecipe':
        """From a config's ``instance_recipe``: a dict of the fields to change, or None for the defaults."""
        cfg = dict(cfg or {})
        names = [one.name for one in fields(cls)]
        unknown = sorted(set(cfg) - set(names))
        if unknown:
            raise ValueError(f'unknown field {unknown[0]!r} in instance_recipe; it may have {", ".join(names)}')
        return cls(**cfg)

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-like."""
        return dict(asdict(self), unary=self.unary.to_dict())
