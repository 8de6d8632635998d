"""What the losses of a classifier's feature map share: their input, and how a classifier takes them in.

Symbols: N images, D channels, a grid of h x w cells, L object classes, K boxes.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from bana_mm.functional import grid_colours
from bana_mm.registry import MODELS


@dataclass
class BoxCells:
    """Boxes on a feature grid.

    Args:
        images (Tensor): Image of each box, (K,) int64.
        classes (Tensor): Class of each box, (K,) int64 in 1..L.
        masks (Tensor): Cells whose centres lie inside, (K, h, w) bool, at least one each.
        background (Tensor): Cells of the definite background: in no box, the ignored ones too, and no padding;
            (N, h, w) bool.
        ignored (Tensor): Cells inside ignored boxes, (N, h, w) bool.
        make_attention (Callable): Computes the background attention A, (N, 1, h, w) in [0, 1].
    """

    images: Tensor
    classes: Tensor
    masks: Tensor
    background: Tensor
    ignored: Tensor
    make_attention: Callable[[], Tensor]

    @cached_property
    def attention(self) -> Tensor:
        """A, (N, 1, h, w) in [0, 1]."""
        return self.make_attention()

    def regions(self, num_classes: int) -> Tensor:
        """Cells inside the boxes of each class: (N, L, h, w) bool."""
        num_images = len(self.background)
        index = self.images * num_classes + self.classes - 1
        count = self.masks.new_zeros(num_images * num_classes, *self.masks.shape[1:], dtype=torch.int32)
        count.index_add_(0, index, self.masks.int())
        return (count > 0).unflatten(0, (num_images, num_classes))


@dataclass
class DenseInputs:
    """What a classifier knows of a batch at the size of its feature map.

    Args:
        feats (Tensor): Features f, (N, D, h, w) float32.
        logits (Tensor): Classifier weights times features, (N, L, h, w) float32, or with those of the background in
            front (N, L + 1, h, w).
        present (Tensor): Classes of each image, (N, L) bool.
        known (Tensor): Classes of which it is known whether the image shows them, (N, L) bool.
        images (Tensor): (N, 3, H, W) float in [0, 1].
        sizes (Sequence[tuple[int, int]]): Height and width of each image in pixels without its padding.
        visible (Tensor): Cells that are no padding, (N, h, w) bool.
        stride (int): Image pixels per cell.
        align_corners (bool): See :func:`bana_mm.functional.roi_weights`.
        boxes (BoxCells | None): Boxes; None for a classifier of images.
    """

    feats: Tensor
    logits: Tensor
    present: Tensor
    known: Tensor
    images: Tensor
    sizes: Sequence[tuple[int, int]]
    visible: Tensor
    stride: int
    align_corners: bool = True
    boxes: BoxCells | None = None

    @property
    def num_classes(self) -> int:
        """Object classes L."""
        return self.present.size(1)

    @property
    def has_background(self) -> bool:
        """Whether the logits have a channel of the background."""
        return self.logits.size(1) > self.num_classes

    def colours(self, mode: str) -> Tensor:
        """Colours of the cells, (N, 3, h, w) in [0, 1], see :func:`bana_mm.functional.grid_colours`."""
        pixels = torch.zeros(len(self.images), 1, *self.images.shape[2:], dtype=torch.bool, device=self.images.device)
        for image, (height, width) in zip(pixels, self.sizes):
            image[:, :height, :width].fill_(True)
        return grid_colours(self.images, self.feats.shape[2:], mode, self.stride, self.align_corners, pixels)


class DenseLoss(BaseModule, ABC):
    """A further loss of a classifier, on its feature map.

    A classifier takes a list of them as ``dense_losses``, and multiplies its own loss by the ``host_weight`` of each.
    """

    host_weight = 1.0

    @abstractmethod
    def forward(self, dense: DenseInputs) -> dict[str, Tensor]:
        """The terms by name, and further figures for the log.

        Raises:
            TypeError: If the loss needs something that this kind of classifier does not have.
        """


def build_dense_losses(configs: Sequence[dict], num_classes: int, in_channels: int) -> ModuleList:
    """The modules of a classifier's ``dense_losses``.

    Args:
        configs (Sequence[dict]): Their configs.
        num_classes (int): Object classes L, for those that take them and do not say.
        in_channels (int): Channels D of the feature map, likewise.

    Raises:
        TypeError: If one is no :class:`DenseLoss`.
    """
    modules = ModuleList()
    for config in configs:
        kind = MODELS.get(config['type']) if isinstance(config['type'], str) else config['type']
        if kind is None or not issubclass(kind, DenseLoss):
            raise TypeError(f'dense_losses takes losses of a feature map, and {config["type"]} is none')
        taken = inspect.signature(kind).parameters
        known = dict(num_classes=num_classes, in_channels=in_channels)
        modules.append(MODELS.build({**{name: known[name] for name in known if name in taken}, **config}))
    return modules


def add_dense_losses(
    losses: dict[str, Tensor],
    modules: Sequence[DenseLoss],
    make_inputs: Callable[[], DenseInputs],
    share: float = 1.0,
) -> dict[str, Tensor]:
    """A classifier's losses and those of its ``dense_losses``, in float32 under autocast too.

    Args:
        losses (dict[str, Tensor]): The classifier's own, of which ``loss_cls`` is multiplied by the ``host_weight``.
        modules (Sequence[DenseLoss]): The further ones.
        make_inputs (Callable): Computes their input; not called where there is no further loss.
        share (float): Factor of the classifier's own loss, and of those that take a part of its place. Defaults to 1.0.

    Raises:
        ValueError: If two of them have terms of one name.
    """
    losses = dict(losses, loss_cls=share * losses['loss_cls'])
    if not len(modules):
        return losses
    device = losses['loss_cls'].device.type
    with torch.autocast(device, enabled=False):
        dense = make_inputs()
        for module in modules:
            losses['loss_cls'] = losses['loss_cls'] * module.host_weight
            terms = module(dense)
            if module.host_weight != 1:
                terms = {name: share * term if 'loss' in name else term for name, term in terms.items()}
            twice = sorted(set(terms) & set(losses))
            if twice:
                raise ValueError(f'dense_losses: two losses are called {twice[0]!r}; leave one of them out')
            losses.update(terms)
    return losses
