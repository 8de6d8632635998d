"""Cosine classifiers for mmseg's decode heads."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from bana_mm.registry import MODELS

# Lengths of features and weights are taken to be at least this.
MIN_NORM = 1e-6


class CosineClassifier(nn.Conv2d):
    r"""A 1x1 convolution of directions: logits are ``temperature`` times cosines (paper footnote 4).

    .. math:: \mathrm{logit}_c(p) = T \frac{\phi(p)}{\|\phi(p)\|} \cdot \frac{W_c}{\|W_c\|}

    Half precision is computed in float32, under autocast too.

    Args:
        in_channels (int): Channels of the features.
        num_classes (int): Classes with the background.
        temperature (float): T.

    Shape:
        (N, in_channels, h, w) to (N, num_classes, h, w), in [-T, T].
    """

    def __init__(self, in_channels: int, num_classes: int, temperature: float) -> None:
        super().__init__(in_channels, num_classes, kernel_size=1, bias=False)
        self.temperature = temperature

    def forward(self, feats: Tensor) -> Tensor:
        """Classify every pixel."""
        with torch.autocast(feats.device.type, enabled=False):
            weight = self.weight if self.weight.dtype == torch.float64 else self.weight.float()
            feats = feats.to(weight.dtype)
            # Dividing the product instead of the features spares a tensor of their size.
            norm = torch.linalg.vector_norm(feats, dim=1, keepdim=True).clamp(min=MIN_NORM)
            return F.conv2d(feats, F.normalize(weight, dim=1, eps=MIN_NORM)) * (self.temperature / norm)

    def extra_repr(self) -> str:
        return f'{self.in_channels}, {self.out_channels}, temperature={self.temperature}'


@MODELS.register_module()
class CosineDecodeHead:
    """Turns a decode head of mmseg into a cosine classifier.

    Building it gives an instance of the head's own class and of this one: ``conv_seg`` is replaced by a
    :class:`CosineClassifier`, and losses that want it are given the reliable region S. Everything else, the names in
    the state dict included, stays the head's. It serves as auxiliary head as well.

    Args:
        head (dict): Config of a head that derives from mmseg's ``BaseDecodeHead`` and classifies through ``conv_seg``,
            such as ``dict(type='ASPPHead', in_channels=2048, channels=512, num_classes=21)``. An unscoped type is
            looked up in mmseg, then here.
        temperature (float): Factor of the cosines. Defaults to 20.0 (reference code; the paper does not give it).

    Raises:
        TypeError: If the head can't be a cosine classifier: when it is built, or in its first training step if its
            ``forward`` turns out not to go through ``conv_seg``.
        ValueError: If ``temperature`` is not positive, the head has a single output, or a loss that weights pixels
            itself meets a pixel sampler.

    Examples:
        >>> head = MODELS.build(dict(
        ...     type='bana_mm.CosineDecodeHead', temperature=20.0,
        ...     head=dict(type='FCNHead', in_channels=8, channels=8, num_classes=21,
        ...               loss_decode=dict(type='bana_mm.NoiseAwareLoss'))))
        >>> isinstance(head, FCNHead)
        True
    """

    def __new__(cls, head: dict | None = None, temperature: float = 20.0) -> 'CosineDecodeHead':
        # Without arguments when a head is copied or unpickled.
        return object.__new__(_cosine_class(_find_class(head)) if cls is CosineDecodeHead else cls)

    def __init__(self, head: dict, temperature: float = 20.0) -> None:
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        super().__init__(**{key: value for key, value in head.items() if key != 'type'})
        name = _name(self)
        old = getattr(self, 'conv_seg', None)
        if not isinstance(old, nn.Conv2d) or old.kernel_size != (1, 1) or old.groups != 1:
            raise TypeError(f'{name} can not become a cosine classifier: it has no 1x1 convolution conv_seg')
        if old.out_channels < 2:
            raise ValueError(
                f'{name} has a single output; a cosine classifier needs one for each class: set '
                'out_channels to num_classes'
            )
        if self.sampler is not None and self._reliability_losses():
            raise ValueError(
                f'{name}: losses that weight the pixels themselves, such as NoiseAwareLoss, go without a '
                '`sampler`; remove it from the head'
            )
        self.temperature = temperature
        self.conv_seg = CosineClassifier(old.in_channels, old.out_channels, temperature)
        self._checked = False

    def forward(self, *args, **kwargs) -> Tensor:
        """The head's own forward pass, which is checked the first time in training."""
        if self._checked or not self.training:
            return super().forward(*args, **kwargs)
        calls = []
        handle = self.conv_seg.register_forward_hook(lambda *_: calls.append(None))
        try:
            output = super().forward(*args, **kwargs)
        finally:
            handle.remove()
        maps = [
            out
            for out in (output if isinstance(output, (tuple, list)) else (output,))
            if isinstance(out, Tensor) and out.dim() == 4
        ]
        if len(calls) != 1 or len(maps) != 1:
            raise TypeError(
                f'{_name(self)} can not be a cosine classifier: its forward pass used conv_seg '
                f'{len(calls)} times and gave {len(maps)} maps, and both must be one'
            )
        self._checked = True
        return output

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample], *args, **kwargs
    ) -> dict[str, Tensor]:
        """The head's own losses; those with ``needs_reliable`` are given the samples' ``gt_reliable_map``.

        Those with ``needs_colours`` are given their ``gt_colours`` as well.

        Args:
            seg_logits (Tensor): What :meth:`forward` returned.
            batch_data_samples (Sequence[SegDataSample]): With ``gt_sem_seg`` and, where not all pixels are reliable,
                ``gt_reliable_map``, bool.

        Returns:
            dict[str, Tensor]: The terms of a loss that returns several stand side by side.
        """
        losses = self._reliability_losses()
        reliable = stack_reliable(batch_data_samples) if losses else None
        with ExitStack() as stack:
            for loss in losses:
                needed = {}
                if getattr(loss, 'needs_colours', False):
                    needed['colours'] = _stack_colours(batch_data_samples)
                stack.enter_context(loss.given(reliable, self.temperature, **needed))
            results = super().loss_by_feat(seg_logits, batch_data_samples, *args, **kwargs)
        terms: dict[str, Tensor] = {}
        for name, value in results.items():
            for key, term in value.items() if isinstance(value, dict) else ((name, value),):
                terms[key] = terms[key] + term if key in terms else term
        return terms

    def predict_by_feat(self, *args, **kwargs) -> Tensor:
        """The head's own upsampling, without mmseg's warning about every image size that is not 8 n + 1."""
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='When align_corners=True')
            return super().predict_by_feat(*args, **kwargs)

    def _reliability_losses(self) -> list[nn.Module]:
        losses = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        return [loss for loss in losses if getattr(loss, 'needs_reliable', False)]


def _find_class(head: dict) -> type:
    """The class that the config of a head names."""
    if not isinstance(head, dict) or 'type' not in head:
        raise TypeError(f'CosineDecodeHead: head must be a config with the key type, got {head!r}')
    found = head['type']
    if isinstance(found, str):
        found = MMSEG_MODELS.get(found) or MODELS.get(found)
        if found is None:
            raise KeyError(f'CosineDecodeHead: no decode head is registered as {head["type"]!r}')
    if not (isinstance(found, type) and issubclass(found, BaseDecodeHead)):
        raise TypeError(f'CosineDecodeHead: {head["type"]!r} is no BaseDecodeHead, so it has no conv_seg to replace')
    return found


@cache
def _cosine_class(head_class: type) -> type:
    return type(f'Cosine{head_class.__name__}', (CosineDecodeHead, head_class), dict(__module__=__name__))


def _name(head: CosineDecodeHead) -> str:
    return type(head).__name__.removeprefix('Cosine')


def stack_reliable(samples: Sequence[SegDataSample]) -> Tensor:
    """S of the batch, (N, H, W) bool. The preprocessor pads only the labels, at their far ends, to be ignored."""
    maps = []
    for sample in samples:
        label = sample.gt_sem_seg.data[0]
        reliable = torch.ones_like(label, dtype=torch.bool)
        if 'gt_reliable_map' in sample:
            given = sample.gt_reliable_map.data[0]
            if given.shape[0] > label.shape[0] or given.shape[1] > label.shape[1]:
                raise ValueError(f'gt_reliable_map {tuple(given.shape)} is larger than gt_sem_seg {tuple(label.shape)}')
            reliable[: given.shape[0], : given.shape[1]] = given.bool()
        maps.append(reliable)
    return torch.stack(maps)


def _stack_colours(samples: Sequence[SegDataSample]) -> tuple[Tensor, Tensor] | None:
    """Images (N, 3, H, W) in [0, 1], 0 in the padding, and which pixels they have, (N, 1, H, W) bool."""
    if not all('gt_colours' in sample for sample in samples):
        return None
    size = samples[0].gt_sem_seg.data.shape[1:]
    images = torch.zeros(len(samples), 3, *size, device=samples[0].gt_sem_seg.data.device)
    visible = torch.zeros(len(samples), 1, *size, dtype=torch.bool, device=images.device)
    for image, mask, sample in zip(images, visible, samples):
        height, width = sample.gt_colours.shape
        image[:, :height, :width] = sample.gt_colours.data / 255
        mask[:, :height, :width] = True
    return images, visible
