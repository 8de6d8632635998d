"""Boxes on the pixel grid.

Boxes are float xyxy in pixel edges, 0-based and half-open: ``[0, 0, W, H]`` covers a ``H x W`` image, and
``[3, 5, 4, 6]`` is the one pixel in column 3 and row 5.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def pixel_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Round boxes to whole pixels inside the image, each at least one pixel large.

    Ours: the reference code truncates after a float32 round trip, which may lose a pixel (99.99999 -> 99) and may leave
    an empty box.

    Args:
        boxes (Tensor): (K, 4) float, xyxy in pixel edges.
        image_size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        Tensor: (K, 4) int64, xyxy, half-open, ``0 <= x1 < x2 <= W`` and ``0 <= y1 < y2 <= H``.
    """
    height, width = image_size
    x1, y1, x2, y2 = boxes.round().unbind(1)  # numbers, no tensor of limits: that would be a copy to the device
    x1, y1 = x1.clamp(0, width - 1), y1.clamp(0, height - 1)
    x2, y2 = torch.maximum(x2, x1 + 1).clamp(max=width), torch.maximum(y2, y1 + 1).clamp(max=height)
    return torch.stack([x1, y1, x2, y2], dim=1).long()


def box_masks(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """The pixels of each box as a mask.

    Args:
        boxes (Tensor): (K, 4) float, xyxy in pixel edges, rounded by :func:`pixel_boxes`.
        image_size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        Tensor: (K, H, W) bool.
    """
    height, width = image_size
    x1, y1, x2, y2 = pixel_boxes(boxes, image_size).unbind(1)
    column = torch.arange(width, device=boxes.device)
    row = torch.arange(height, device=boxes.device)
    in_x = (column >= x1[:, None]) & (column < x2[:, None])  # (K, W)
    in_y = (row >= y1[:, None]) & (row < y2[:, None])  # (K, H)
    return in_y[:, :, None] & in_x[:, None, :]


def inside_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """The union of boxes: True inside any box, all False without boxes.

    Args:
        boxes (Tensor): (K, 4) float, xyxy in pixel edges.
        image_size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        Tensor: (H, W) bool.
    """
    rois = torch.cat([boxes.new_zeros(boxes.size(0), 1), boxes.reshape(-1, 4)], dim=1)
    return _coverage(rois, 1, image_size)[0]


def definite_background(rois: Tensor, valid_sizes: Sequence[tuple[int, int]], image_size: tuple[int, int]) -> Tensor:
    """The definite background M of a batch: pixels of an image that lie in none of its boxes.

    Ours: derived from the boxes, where the reference code reads separate mask files. Works without copying
    anything from or to the device, so that nothing waits for it.

    Args:
        rois (Tensor): (K, 5) float, image index and xyxy in pixel edges; every box that may hold an object, the
            ignored ones too.
        valid_sizes (Sequence[tuple[int, int]]): Height and width of each of N images without its padding; padding is
            not background.
        image_size (tuple[int, int]): Height and width of the padded batch in pixels.

    Returns:
        Tensor: (N, 1, H, W) bool.
    """
    covered = _coverage(rois, len(valid_sizes), image_size)
    visible = torch.zeros_like(covered)
    for image, (height, width) in zip(visible, valid_sizes):
        image[:height, :width].fill_(True)
    return (visible & ~covered)[:, None]


def _coverage(rois: Tensor, num_images: int, image_size: tuple[int, int]) -> Tensor:
    """(N, H, W) bool: pixels inside any RoI. Marks box corners with +1 and -1 and integrates over both axes."""
    height, width = image_size
    image = rois[:, 0].long()
    x1, y1, x2, y2 = pixel_boxes(rois[:, 1:], image_size).unbind(1)
    corner = torch.zeros(num_images, height + 1, width + 1, dtype=torch.int32, device=rois.device)
    one = torch.ones_like(image, dtype=torch.int32)
    for y, x, sign in ((y1, x1, one), (y2, x2, one), (y1, x2, -one), (y2, x1, -one)):
        corner.index_put_((image, y, x), sign, accumulate=True)
    return corner.cumsum(1).cumsum(2)[:, :height, :width] > 0
