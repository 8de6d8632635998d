"""The head of a classifier of images."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from bana_mm.functional import hybrid_pyramid_pool
from bana_mm.functional.hybrid_pooling import LEVELS
from bana_mm.registry import MODELS


@MODELS.register_module()
class ImageHead(BaseModule):
    """Classify images by their pooled features: one linear classifier without bias, a sigmoid for each class.

    Its weights, multiplied with the features of every cell, are the class activation maps (CAM). The loss is the
    multi-label soft margin loss, the mean binary cross entropy over images and classes.

    Args:
        num_classes (int): Object classes L, without background.
        in_channels (int): Channels D of the feature map.
        pooling (str): 'gap', the average over all cells, or 'hspp', :func:`bana_mm.functional.hybrid_pyramid_pool`.
            Padding counts in both (reference code). Defaults to 'gap'.
        gamma (float): Weight of the average in 'hspp'. Defaults to 2.0 (reference code).
        levels (tuple[int, ...]): Windows a side of 'hspp'. Defaults to (1, 2, 4).
        exact (bool): Windows of 'hspp' as in the reference code. Defaults to False.
        init_cfg (dict | None): mmengine's initialisation. Defaults to None, PyTorch's (reference code).

    Raises:
        ValueError: For another pooling.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        pooling: str = 'gap',
        gamma: float = 2.0,
        levels: tuple[int, ...] = LEVELS,
        exact: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if pooling not in ('gap', 'hspp'):
            raise ValueError(f"pooling must be 'gap' or 'hspp', got {pooling!r}")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.pooling = pooling
        self.gamma = gamma
        self.levels = tuple(levels)
        self.exact = exact
        self.classifier = nn.Linear(in_channels, num_classes, bias=False)

    @property
    def weight(self) -> Tensor:
        """Classifier weights, (L + 1, D), as :class:`BAPHead` has them: row 0, of the background, is zero."""
        return F.pad(self.classifier.weight, (0, 0, 1, 0))

    def forward(self, feats: Tensor) -> Tensor:
        """Logits of images: features (N, D, h, w) -> (N, L)."""
        if self.pooling == 'gap':
            return self.classifier(feats.mean(dim=(2, 3)))
        return self.classifier(hybrid_pyramid_pool(feats, self.levels, self.gamma, self.exact))

    def class_maps(self, feats: Tensor) -> Tensor:
        """Logits of every cell, CAMs before the ReLU: features (N, D, h, w) -> (N, L, h, w)."""
        return torch.einsum('ndhw,cd->nchw', feats, self.classifier.weight)

    def loss(self, feats: Tensor, present: Tensor, known: Tensor) -> dict[str, Tensor]:
        """Mean binary cross entropy over images and classes.

        Args:
            feats (Tensor): Features f, (N, D, h, w).
            present (Tensor): Classes of each image, (N, L) bool.
            known (Tensor): Classes that count, (N, L) bool.

        Returns:
            dict[str, Tensor]: ``loss_cls``, and ``acc_image``, the share in percent of these answers that are right.
        """
        with torch.autocast(feats.device.type, enabled=False):
            logits = self(feats.float())
            count = known.sum().clamp(min=1)
            loss = F.binary_cross_entropy_with_logits(logits, present.to(logits.dtype), reduction='none')
            hits = ((logits > 0) == present) & known
            return dict(loss_cls=(loss * known).sum() / count, acc_image=100.0 * hits.sum() / count)
