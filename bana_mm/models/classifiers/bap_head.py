"""The head of stage 1: background queries, attention, pooling, and one linear classifier for boxes and background."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.model import BaseModule
from torch import Tensor, nn

from bana_mm.functional import (
    background_attention,
    background_aware_features,
    background_queries,
    definite_background,
    hybrid_box_pool,
)
from bana_mm.functional.hybrid_pooling import LEVELS
from bana_mm.functional.reduction import check_reduction, num_ranks, sum_over_ranks
from bana_mm.models.losses.dense_loss import DenseInputs
from bana_mm.registry import MODELS

from .grid_cells import box_cells, visible_cells


@MODELS.register_module()
class BAPHead(BaseModule):
    """Classify boxes through background-aware pooling (paper Sec. 3.1).

    The background queries of an image (Eq. 1) give its background attention (Eq. 2, 3), which weights the average of
    each box (Eq. 4). Box vectors and queries go through one linear classifier without bias, with the background as
    class 0. The loss is the mean cross entropy over all box bins and all queries of the batch (reference code).

    Args:
        num_classes (int): Object classes L, without background.
        in_channels (int): Channels D of the feature map.
        stride (int): Image pixels per feature cell. Defaults to 8.
        pooling (str): 'bap'; 'gap' for plain average pooling of the boxes; or 'hspp' for the mean of BAP and of local
            maxima, :func:`bana_mm.functional.hybrid_box_pool` (ours). The queries train the background class in any
            case. Defaults to 'bap'.
        grid_size (int): Cells a side from which queries are taken. Defaults to 4 (paper).
        output_size (int): Bins a side, each a sample of its own. Defaults to 2 (reference code; paper: 1).
        min_background (float): An image with at most this share of definite background uses plain pooling.
            Defaults to 0.125 (reference code; paper: 0).
        align_corners (bool): See :func:`bana_mm.functional.roi_weights`. Defaults to True.
        gamma (float): Weight of BAP in 'hspp'. Defaults to 2.0.
        levels (tuple[int, ...]): Windows a side of 'hspp'. Defaults to (1, 2, 4).
        init_cfg (dict | None): Defaults to a normal distribution with standard deviation 0.01 (paper).
        reduce (str): What the loss is divided by: 'local', the bins and queries of this process (reference code), or
            'global', those of all processes. Defaults to 'local'.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stride: int = 8,
        pooling: str = 'bap',
        grid_size: int = 4,
        output_size: int = 2,
        min_background: float = 0.125,
        align_corners: bool = True,
        gamma: float = 2.0,
        levels: tuple[int, ...] = LEVELS,
        init_cfg: dict | None = None,
        reduce: str = 'local',
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', std=0.01, override=dict(name='classifier')))
        if pooling not in ('bap', 'gap', 'hspp'):
            raise ValueError(f"pooling must be 'bap', 'gap' or 'hspp', got {pooling!r}")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.stride = stride
        self.pooling = pooling
        self.grid_size = grid_size
        self.output_size = output_size
        self.min_background = min_background
        self.align_corners = align_corners
        self.gamma = gamma
        self.levels = tuple(levels)
        self.reduce = check_reduction(reduce)
        self.classifier = nn.Linear(in_channels, num_classes + 1, bias=False)

    @property
    def weight(self) -> Tensor:
        """Classifier weights w, (L + 1, D); row 0 is the background, row c the class with label c - 1."""
        return self.classifier.weight

    def forward(self, feats: Tensor, data_samples: Sequence[DetDataSample]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of every box bin and every background query.

        Args:
            feats (Tensor): Features f, (N, D, h, w).
            data_samples (Sequence[DetDataSample]): With ``gt_instances.bboxes``, in pixels of the batch's images, and
                ``batch_input_shape`` and ``img_shape``.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Logits of the K boxes, (K, s*s, L + 1), of the queries, (N, J, L + 1), and
            which queries are valid, (N, J) bool.
        """
        rois, counts = _rois(feats, data_samples, 'gt_instances')
        background = self._definite_background(rois, data_samples)
        enough = background.to(feats.dtype).mean(dim=(1, 2, 3)) > self.min_background
        pooled, queries, valid = background_aware_features(
            feats,
            background,
            rois,
            self.grid_size,
            1 / self.stride,
            self.output_size,
            use_attention=enough & (self.pooling != 'gap'),
            align_corners=self.align_corners,
            counts=counts,
        )
        if self.pooling == 'hspp':
            attention = background_attention(feats, queries, valid) * enough[:, None, None, None]
            pooled = hybrid_box_pool(
                feats,
                rois,
                attention,
                1 / self.stride,
                self.output_size,
                self.levels,
                self.gamma,
                self.align_corners,
                average=pooled,
            )
        return self.classifier(pooled.flatten(2).transpose(1, 2)), self.classifier(queries), valid

    def loss(self, feats: Tensor, data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Mean cross entropy over box bins and valid queries; a zero with gradient where there is neither.

        Args:
            feats (Tensor): Features f, (N, D, h, w).
            data_samples (Sequence[DetDataSample]): As for :meth:`forward`, with ``gt_instances.labels`` in 0..L-1.

        Returns:
            dict[str, Tensor]: ``loss_cls``, and the accuracies in percent ``acc_box`` and ``acc_background``.
        """
        with torch.autocast(feats.device.type, enabled=False):  # normalised features need float32
            box_logits, query_logits, valid = self(feats.float(), data_samples)
        labels = torch.cat([sample.gt_instances.labels for sample in data_samples]) + 1  # (K,)
        labels = labels[:, None].expand(box_logits.shape[:2])
        box_loss = F.cross_entropy(box_logits.flatten(0, 1), labels.flatten(), reduction='sum')
        background = torch.zeros_like(valid, dtype=torch.long)
        query_loss = F.cross_entropy(query_logits.flatten(0, 1), background.flatten(), reduction='none')
        query_loss = (query_loss * valid.flatten()).sum()
        num_queries = valid.sum()
        number = sum_over_ranks(labels.numel() + num_queries, self.reduce).clamp(min=1)
        loss = (box_loss + query_loss) * num_ranks(self.reduce) / number
        return dict(
            loss_cls=loss,
            acc_box=_percent((box_logits.argmax(-1) == labels).sum(), labels.numel()),
            acc_background=_percent(((query_logits.argmax(-1) == 0) & valid).sum(), num_queries),
        )

    def predict(self, feats: Tensor, data_samples: Sequence[DetDataSample]) -> list[Tensor]:
        """Class probabilities of each given box: the softmax of the logits averaged over its bins.

        Args:
            feats (Tensor): Features f, (N, D, h, w).
            data_samples (Sequence[DetDataSample]): As for :meth:`forward`.

        Returns:
            list[Tensor]: (K_n, L + 1) for each image; column 0 is the background.
        """
        box_logits, _, _ = self(feats.float(), data_samples)
        return list(box_logits.mean(dim=1).softmax(dim=-1).split([len(s.gt_instances) for s in data_samples]))

    def class_maps(self, feats: Tensor) -> Tensor:
        """Logits of every cell: features (N, D, h, w) -> (N, L + 1, h, w), background first."""
        return torch.einsum('ndhw,cd->nchw', feats, self.weight)

    def dense_inputs(self, feats: Tensor, images: Tensor, data_samples: Sequence[DetDataSample]) -> DenseInputs:
        """What further losses of the feature map are given.

        Args:
            feats (Tensor): Features f, (N, D, h, w).
            images (Tensor): (N, 3, H, W) float in [0, 1].
            data_samples (Sequence[DetDataSample]): As for :meth:`loss`.
        """
        feats, sizes = feats.float(), [tuple(sample.img_shape[:2]) for sample in data_samples]
        rois, _ = _rois(feats, data_samples, 'gt_instances')
        classes = torch.cat([sample.gt_instances.labels for sample in data_samples]) + 1
        present = torch.zeros(len(feats), self.num_classes, dtype=torch.bool, device=feats.device)
        present[rois[:, 0].long(), classes - 1] = True
        ignored, _ = _rois(feats, data_samples, 'ignored_instances')

        def attention() -> Tensor:
            fixed = feats.detach()
            queries = background_queries(fixed, self._definite_background(rois, data_samples), self.grid_size)
            return background_attention(fixed, *queries)

        visible = visible_cells(sizes, feats, self.stride, self.align_corners)
        return DenseInputs(
            feats=feats,
            logits=self.class_maps(feats),
            present=present,
            known=torch.ones_like(present),
            images=images,
            sizes=sizes,
            visible=visible,
            stride=self.stride,
            align_corners=self.align_corners,
            boxes=box_cells(rois, classes, ignored, visible, self.stride, self.align_corners, attention),
        )

    def _definite_background(self, rois: Tensor, data_samples: Sequence[DetDataSample]) -> Tensor:
        """M of the batch, (N, 1, H, W) bool: outside every box, the ignored ones too, and not padding."""
        ignored, _ = _rois(rois, data_samples, 'ignored_instances')
        sizes = [sample.img_shape[:2] for sample in data_samples]
        return definite_background(torch.cat([rois, ignored]), sizes, data_samples[0].batch_input_shape)


def _rois(like: Tensor, data_samples: Sequence[DetDataSample], field: str) -> tuple[Tensor, list[int]]:
    """Boxes of a batch with the image index in front, (K, 5), and how many each image has."""
    boxes = [
        get_box_tensor(sample.get(field).bboxes).to(like) if field in sample else like.new_zeros(0, 4)
        for sample in data_samples
    ]
    index = [box.new_full((len(box), 1), image) for image, box in enumerate(boxes)]
    return torch.cat([torch.cat(index), torch.cat(boxes)], dim=1), [len(box) for box in boxes]


def _percent(hits: Tensor, total: int | Tensor) -> Tensor:
    return 100.0 * hits / (total.clamp(min=1) if isinstance(total, Tensor) else max(total, 1))
