"""SEAM: a classifier of images whose activation maps follow a change of scale (Wang et al., CVPR 2020).

A host of the importance sampling and feature similarity losses; theirs is the published one.

Symbols: N images, L object classes, a grid of h x w cells, P = h*w. Maps of background and classes have L + 1 channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from bana_mm.functional import max_normalised
from bana_mm.models.losses.dense_loss import add_dense_losses
from bana_mm.registry import MODELS

from .image_classifier import ImageClassifier
from .image_inputs import image_classes

EPS = 1e-5
MAX_PAIRS = 2**24  # of cells whose affinity is held at a time


class PixelCorrelation(nn.Module):
    r"""SEAM's pixel correlation module: maps are averaged over the cells that look alike.

    .. math:: \hat y_i = \frac{\sum_j \mathrm{ReLU}(\cos(\theta_i, \theta_j)) \, y_j}{\sum_j
        \mathrm{ReLU}(\cos(\theta_i, \theta_j))}

    with :math:`\theta` a linear function of the image and of lower features, which get no gradient.

    Args:
        in_channels (Sequence[int]): Channels of the lower features.
        channels (Sequence[int]): To which each of them is reduced.
        out_channels (int): Channels of theta. Defaults to 192.
    """

    def __init__(self, in_channels: Sequence[int], channels: Sequence[int], out_channels: int = 192) -> None:
        super().__init__()
        if len(in_channels) != len(channels):
            raise ValueError(f'{len(in_channels)} lower features need as many channels, got {tuple(channels)}')
        self.reduce = nn.ModuleList(nn.Conv2d(own, to, 1, bias=False) for own, to in zip(in_channels, channels))
        self.embed = nn.Conv2d(3 + sum(channels), out_channels, 1, bias=False)

    def forward(self, maps: Tensor, inputs: Tensor, lower: Sequence[Tensor]) -> Tensor:
        """Refine maps.

        Args:
            maps (Tensor): (N, C, h, w) float.
            inputs (Tensor): Normalised images, (N, 3, H, W).
            lower (Sequence[Tensor]): Lower features, of any size.

        Returns:
            Tensor: (N, C, h, w).
        """
        size = maps.shape[2:]
        parts = [inputs, *(F.relu(reduce(feats.detach())) for reduce, feats in zip(self.reduce, lower))]
        parts = [F.interpolate(part, size, mode='bilinear', align_corners=True) for part in parts]
        theta = self.embed(torch.cat(parts, dim=1)).flatten(2)  # (N, T, P)
        theta = theta / (torch.linalg.vector_norm(theta, dim=1, keepdim=True) + EPS)
        values, refined = maps.flatten(2), []
        for part in theta.split(max(MAX_PAIRS // (len(theta) * theta.size(2)), 1), dim=2):
            affinity = F.relu(theta.transpose(1, 2) @ part)  # (N, P, cells of this part)
            refined.append(values @ (affinity / (affinity.sum(dim=1, keepdim=True) + EPS)))
        return torch.cat(refined, dim=2).unflatten(2, size)


@MODELS.register_module()
class SEAMClassifier(ImageClassifier):
    r"""SEAM on any backbone: equivariant regularisation and pixel correlation (reference code).

    .. math:: \mathcal{L} = \tfrac12 (\mathcal{L}_{cls} + \mathcal{L}'_{cls}) + \tfrac12 (\mathcal{L}_{min} +
        \mathcal{L}'_{min}) + \mathcal{L}_{er} + \mathcal{L}_{ecr}

    of an image and of a smaller version of it ('). The maps of both shall be the same (``loss_er``); those that the
    pixel correlation makes of either shall have the other's strongest class at every cell (``loss_ecr``, over the
    hardest cells and classes); and the weakest cells of an image shall be background (``loss_min``). Labels are made
    from the refined maps. ``dense_losses`` see the image alone, those that replace a part of the classification loss
    with half their weight. Ours: maps are compared at the size of the feature map, where the reference code upsamples
    them to the image first.

    Args:
        correlation (dict): Arguments of :class:`PixelCorrelation` for all outputs of the backbone but the last.
        scale (float): Size of the smaller image. Defaults to 0.3.
        hard_share (float): Share of cells and classes that count in ``loss_ecr``. Defaults to 0.2.
        min_share (float): Share of cells that count in ``loss_min``. Defaults to 0.25.
        kwargs: See :class:`ImageClassifier`.
    """

    def __init__(
        self,
        correlation: dict,
        scale: float = 0.3,
        hard_share: float = 0.2,
        min_share: float = 0.25,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.correlation = PixelCorrelation(**correlation)
        self.scale = scale
        self.hard_share = hard_share
        self.min_share = min_share

    def extract_layers(self, inputs: Tensor, names: Sequence[str] = ('last', 'maps')) -> dict[str, Tensor]:
        """Features, and refined maps of all classes, see :meth:`ImageClassifier.extract_layers`."""
        feats, _, refined = self._view(inputs)
        return dict(last=feats, maps=refined[:, 1:])

    def loss(self, inputs: Tensor, data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """SEAM's losses and the ``dense_losses``."""
        classes = image_classes(data_samples, self.head.num_classes)
        small_inputs = F.interpolate(inputs, scale_factor=self.scale, mode='bilinear', align_corners=True)
        feats, maps, refined = self._view(inputs)
        small_feats, small_maps, small_refined = self._view(small_inputs)
        losses = add_dense_losses(
            self.head.loss(feats, *classes),
            self.dense_losses,
            lambda: self.dense_inputs(inputs, feats, data_samples, *classes),
            share=0.5,
        )
        losses['loss_cls'] = losses['loss_cls'] + 0.5 * self.head.loss(small_feats, *classes)['loss_cls']
        shown = classes[0].to(maps.dtype)[:, :, None, None]  # (N, L, 1, 1)
        losses['loss_min'] = 0.5 * sum(
            weakest_mean(view[:, 1:] * shown, self.min_share) for view in (refined, small_refined)
        )
        shown = F.pad(shown, (0, 0, 0, 0, 1, 0), value=1.0)  # the background is always there
        size = small_maps.shape[2:]
        maps, refined = (
            F.interpolate(max_normalised(view), size, mode='bilinear', align_corners=True)
            for view in (_with_background(maps), refined)
        )
        maps, refined = _background_is_the_rest(maps * shown), refined * shown
        small_maps = _background_is_the_rest(max_normalised(_with_background(small_maps)) * shown)
        small_refined = max_normalised(small_refined) * shown
        losses['loss_er'] = (maps[:, 1:] - small_maps[:, 1:]).abs().mean()
        losses['loss_ecr'] = sum(
            hardest_mean((strongest(target.detach()) - view).abs(), self.hard_share)
            for target, view in ((small_maps, refined), (maps, small_refined))
        )
        return losses

    def _view(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (N, D, h, w), class maps (N, L, h, w), and refined maps of background and classes."""
        outputs = self.backbone(inputs)
        feats = self.dropout(outputs[-1])
        with torch.autocast(inputs.device.type, enabled=False):
            maps = self.head.class_maps(feats.float())
            with torch.no_grad():
                peak = maps.amax(dim=(2, 3), keepdim=True) + EPS
                normalised = F.relu(maps - EPS) / peak.clamp(min=EPS)
                normalised = strongest(_background_is_the_rest(_with_background(normalised)))
            refined = self.correlation(normalised, inputs.float(), [lower.float() for lower in outputs[:-1]])
        return feats, maps, refined


def strongest(maps: Tensor) -> Tensor:
    """Maps of background and classes, in which only the highest of the classes is left at each cell."""
    classes = maps[:, 1:]
    return torch.cat([maps[:, :1], classes * (classes == classes.amax(dim=1, keepdim=True))], dim=1)


def weakest_mean(maps: Tensor, share: float) -> Tensor:
    """Mean of the highest class over the share of an image's cells where that is lowest: (N, L, h, w) -> scalar."""
    highest = maps.amax(dim=1).flatten(1)
    number = max(int(highest.size(1) * share), 1)
    return highest.topk(number, dim=1, largest=False).values.relu().mean()


def hardest_mean(errors: Tensor, share: float) -> Tensor:
    """Mean over the share of an image's cells and classes that are largest: (N, L + 1, h, w) -> scalar."""
    errors = errors.flatten(1)
    return errors.topk(max(int(errors.size(1) * share), 1), dim=1).values.mean()


def _with_background(maps: Tensor) -> Tensor:
    """Maps with a channel of zeros in front."""
    return F.pad(maps, (0, 0, 0, 0, 1, 0))


def _background_is_the_rest(maps: Tensor) -> Tensor:
    """The background is 1 minus the highest class."""
    return torch.cat([1 - maps[:, 1:].amax(dim=1, keepdim=True), maps[:, 1:]], dim=1)
