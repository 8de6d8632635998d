"""The parameters of label generation.

They travel from the config of the classifier, which holds them, to the stage that makes labels from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

_CHOICES = dict(
    background=('attention', 'cam', 'maximum', 'none'),
    threshold_mode=('relative', 'absolute', 'box'),
    background_range=('image', 'box'),
    score=('cam', 'attention', 'mean'),
    normalise=('box', 'image'),
    competition=('image', 'pixel'),
    crf_labels=('class', 'instance'),
    empty=('unseen', 'zero'),
    overlap=('maximum', 'later'),
    restore=('none', 'unseen', 'all'),
)
# Recipes by name. 'paper' is what stands behind the published numbers, to the letter. 'bana_mm' is what a search found
# best (tools/analysis/search_recipe.py, docs/results/voc_animals.md).
RECIPES: dict[str, dict[str, Any]] = dict(
    paper=dict(empty='zero', overlap='later', restore='none'),
    bana_mm=dict(background='cam', min_recognised=0.35, score='mean', flip=True),
)
# Fields that came later, with the value that stands for what was done before: labels whose record lacks them go on.
_LATER_FIELDS = dict(empty='unseen', overlap='maximum', attention_layers=['last'])
CRF_DEFAULTS = dict(bilateral=(4, 55, 3), gaussian=(3, 3), iterations=10, backend='auto')


@dataclass
class LabelRecipe:
    """How class activation maps and attention become Y_crf and Y_ret (paper Sec. 3.2).

    The defaults are the choices behind the published numbers, but for what they leave undone: no box is left without a
    label, and nothing depends on the order of the boxes. The recipe 'paper' does as the reference code does there too.
    See the functions in :mod:`bana_mm.functional` for what each field does and where paper and reference code differ.

    Args:
        background (str): Source of u_0: 'attention' (paper Eq. 7), 'cam' for the background classifier's CAM divided
            by its maximum in the image (the paper's "w/o u_0" and GAP rows), 'maximum' for the larger of these two
            (ours), or 'none' for zero. Defaults to 'attention'.
        grid_size (int): Cells a side from which background queries are taken. Defaults to 1 (paper).
        attention_layers (tuple[str, ...]): Layers of the network from whose features A is computed; of several it is
            the mean. 'last' are the features that the classifier sees, other names are those of the backbone, such as
            'conv5_3' of :class:`bana_mm.models.VGG16LargeFOV` (ours: where fc6 and fc7 start at random, conv5_3 still
            tells from the background what the training has hardly shown). CAMs and Y_ret take 'last' in any case.
            Defaults to ('last', ) (paper).
        threshold (float | None): Attention below it becomes zero; None keeps all. Has no effect on other sources.
            Defaults to 0.99 (paper).
        threshold_mode (str): The threshold is 'relative' to the maximum of the image (reference code) or 'absolute'
            (paper); or A is first stretched to [0, 1] in each 'box', and u_0 is 1 from the threshold on and 0 below
            (ours). Defaults to 'relative'.
        background_range (str): The background classifier's CAM is divided by its maximum in the 'image' (paper), or
            stretched to [0, 1] in each 'box' (ours). Defaults to 'image'.
        min_recognised (float): In boxes with a smaller share of pixels in which the CAM of the class exceeds the
            background's, the latter counts as zero: to the classifier such an object looks like background (ours).
            Defaults to 0.
        score (str): u_c is the normalised 'cam' (paper Eq. 5), 1 - A stretched to [0, 1] in each box ('attention',
            ours), or the 'mean' of both (ours). Defaults to 'cam'.
        normalise (str): CAMs are divided by their maximum in each 'box' (reference code) or in the 'image' (paper).
            Defaults to 'box'.
        empty (str): What a box gets in which the CAM of its class is zero everywhere: 1 - A ('unseen', the paper's rule
            for classes without a classifier), or nothing ('zero', reference code). Defaults to 'unseen'.
        overlap (str): What counts where boxes of one class overlap: the larger score ('maximum', ours), or that of the
            'later' box (reference code). Defaults to 'maximum'.
        temperature (float | None): Of the softmax over the unaries inside boxes; None divides by their sum in place
            of it. Defaults to 1.0 (reference code).
        competition (str): Over which classes the softmax runs at a pixel: all of the 'image' (reference code), or those
            that have a box at the 'pixel' (ours). Defaults to 'image'.
        crf_labels (str): The CRF tells apart each 'class' (paper), or each 'instance', so that boxes of one class
            compete too (ours). Defaults to 'class'.
        scales (tuple[float, ...]): Sizes of the image, as factors, at which the network sees it; A and CAMs are
            averaged over them, Y_ret takes the features of the first. Defaults to (1.0, ).
        flip (bool): Whether it also sees the mirror image at each of these. Defaults to False.
        amp (bool): Whether the network runs in bfloat16 mixed precision, which takes half the time or less on hardware
            that has it and turns a pixel here and there. All that follows is float32 in any case. Defaults to False.
        restore (str): Which boxes that the CRF leaves without a pixel of their class get back the pixels that the
            unary gives it: 'all' (ours, so that no box comes out empty), 'unseen' for those whose CAM was zero only,
            or 'none' (reference code). Defaults to 'all'.
        crf (dict): ``bilateral``, ``gaussian``, ``iterations`` and ``backend`` of
            :func:`bana_mm.functional.dense_crf`; missing ones take their default. Defaults to (4, 55, 3), (3, 3), 10
            and 'auto' (reference code).
        align_corners (bool): Where the feature cells lie in the image, see :class:`bana_mm.functional.Upsampling`.
            Defaults to True (reference code).

    Raises:
        ValueError: For an unknown field or a value out of range; the message names it and what is allowed.
    """

    background: str = 'attention'
    grid_size: int = 1
    attention_layers: tuple[str, ...] = ('last',)
    threshold: float | None = 0.99
    threshold_mode: str = 'relative'
    background_range: str = 'image'
    min_recognised: float = 0.0
    score: str = 'cam'
    normalise: str = 'box'
    empty: str = 'unseen'
    overlap: str = 'maximum'
    temperature: float | None = 1.0
    competition: str = 'image'
    crf_labels: str = 'class'
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    amp: bool = False
    restore: str = 'all'
    crf: dict = field(default_factory=dict)
    align_corners: bool = True

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f'label_recipe.{name} must be one of {allowed}, got {getattr(self, name)!r}')
        if not isinstance(self.grid_size, int) or self.grid_size < 1:
            raise ValueError(f'label_recipe.grid_size must be an int of at least 1, got {self.grid_size!r}')
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f'label_recipe.threshold must be None or lie in [0, 1], got {self.threshold!r}')
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f'label_recipe.temperature must be None or above 0, got {self.temperature!r}')
        if not 0 <= self.min_recognised <= 1:
            raise ValueError(f'label_recipe.min_recognised must lie in [0, 1], got {self.min_recognised!r}')
        if self.threshold is None and self.threshold_mode == 'box':
            raise ValueError("label_recipe.threshold must be a number where threshold_mode is 'box'")
        self.attention_layers = _layer_names(self.attention_layers)
        self.scales = tuple(self.scales)
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError(f'label_recipe.scales must be at least one number above 0, got {self.scales!r}')
        check_names('label_recipe.crf', self.crf, CRF_DEFAULTS)
        self.crf = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in {**CRF_DEFAULTS, **self.crf}.items()
        }

    @classmethod
    def from_cfg(cls, cfg: 'Mapping | LabelRecipe | None') -> 'LabelRecipe':
        """A recipe from a config's ``label_recipe``.

        Args:
            cfg (Mapping | LabelRecipe | None): ``recipe``, the name of a recipe in :data:`RECIPES` (without it the
                defaults of the fields), and fields to change in it. None stands for an empty dict.
        """
        if isinstance(cfg, LabelRecipe):
            return cfg
        cfg = dict(cfg or {})
        check_names('label_recipe', cfg, ['recipe', *(f.name for f in fields(cls))])
        name = cfg.pop('recipe', None)
        if name is not None and name not in RECIPES:
            raise ValueError(f'label_recipe.recipe must be one of {tuple(RECIPES)}, got {name!r}')
        base = RECIPES.get(name, {})
        if 'crf' in cfg:
            cfg['crf'] = {**base.get('crf', {}), **cfg['crf']}
        return cls(**{**base, **cfg})

    @property
    def single_view(self) -> bool:
        """Whether the network sees the image at its own size only."""
        return self.scales == (1.0,) and not self.flip

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers of the network whose features are needed, 'last' first."""
        return tuple(dict.fromkeys(('last', *self.attention_layers)))

    def to_dict(self) -> dict:
        """All fields as JSON would give them back, so that a stored recipe can be compared with ``==``.

        Those of :data:`_LATER_FIELDS` are left out where they say what was done before there were such fields.
        """
        values = dict(asdict(self), scales=list(self.scales), attention_layers=list(self.attention_layers))
        values = {name: value for name, value in values.items() if _LATER_FIELDS.get(name, ...) != value}
        values['crf'] = {name: list(v) if isinstance(v, tuple) else v for name, v in values['crf'].items()}
        return values


@dataclass
class InstanceRecipe:
    """How the unaries of each box become the mask of its instance (ours; the paper gives no rule).

    Args:
        unary (dict | LabelRecipe): Unaries, CRF parameters and views, as in a config's ``label_recipe`` (those of its
            fields that concern the competition of classes have no effect). Defaults to those of the fields,
            whatever the config's label recipe is: what is better for VOC's label maps was worse for COCO's instances.
        margin (float): What is cut out around a box for its CRF, as a share of the box's longer side. It is background
            for certain. Defaults to 0.2.
        min_margin (int): The least margin, in pixels. Defaults to 8.
        side (int): For the CRF a box and its margin are scaled so that the longer side of the box has this many pixels;
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
        check_names('instance_recipe', cfg, [one.name for one in fields(cls)])
        return cls(**cfg)

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-like."""
        return dict(asdict(self), unary=self.unary.to_dict())


def _layer_names(given: Any) -> tuple[str, ...]:
    """Names of layers, of which a single one may stand without a list, as on a command line."""
    names = (given,) if isinstance(given, str) else tuple(given or ())
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(
            "label_recipe.attention_layers must be one or several different names of layers, such as ('last',) or "
            f"('conv5_3', 'last'), got {given!r}"
        )
    return names


def check_names(where: str, given: Mapping, allowed: Mapping | list[str]) -> None:
    """Refuse fields that are not among those allowed, with a ValueError that names one."""
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ValueError(f'unknown field {unknown[0]!r} in {where}; it may have {", ".join(sorted(allowed))}')
