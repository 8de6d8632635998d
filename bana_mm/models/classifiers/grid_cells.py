"""Boxes, background and padding of a batch on the cells of its feature map."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bana_mm.functional import box_masks, roi_cells
from bana_mm.models.losses.dense_loss import BoxCells


def visible_cells(sizes: Sequence[tuple[int, int]], feats: Tensor, stride: int, align_corners: bool = True) -> Tensor:
    """Cells whose centre is no padding.

    Args:
        sizes (Sequence[tuple[int, int]]): Height and width of each image in pixels without its padding.
        feats (Tensor): Features of the padded batch, (N, D, h, w).
        stride (int): Image pixels per cell.
        align_corners (bool): See :func:`bana_mm.functional.roi_weights`. Defaults to True.

    Returns:
        Tensor: (N, h, w) bool.
    """
    grid = tuple(feats.shape[2:])
    rois = torch.tensor([[0, 0, 0, width, height] for height, width in sizes], dtype=torch.float32)
    return box_masks(roi_cells(rois, grid, 1 / stride, align_corners).float(), grid).to(feats.device)


def box_cells(
    rois: Tensor,
    classes: Tensor,
    ignored: Tensor,
    visible: Tensor,
    stride: int,
    align_corners: bool,
    make_attention: Callable[[], Tensor],
) -> BoxCells:
    """Boxes and definite background of a batch on its cells.

    Args:
        rois (Tensor): (K, 5) float, image index and xyxy in image pixel edges.
        classes (Tensor): (K,) int64 in 1..L.
        ignored (Tensor): (J, 5) float, likewise, boxes that are neither object nor background.
        visible (Tensor): From :func:`visible_cells`, (N, h, w) bool.
        stride, align_corners: As for :func:`visible_cells`.
        make_attention (Callable): See :class:`BoxCells`.
    """
    grid = tuple(visible.shape[1:])
    masks, hidden = (
        box_masks(roi_cells(boxes, grid, 1 / stride, align_corners).float(), grid) for boxes in (rois, ignored)
    )
    covered, doubtful = (
        torch.zeros_like(visible, dtype=torch.int32).index_add_(0, boxes[:, 0].long(), inside.int()) > 0
        for boxes, inside in ((rois, masks), (ignored, hidden))
    )
    return BoxCells(
        images=rois[:, 0].long(),
        classes=classes,
        masks=masks,
        background=visible & ~covered & ~doubtful,
        ignored=doubtful,
        make_attention=make_attention,
    )
