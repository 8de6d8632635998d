"""The labels of dataset items."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bana_mm.labels.merge import reliable_region

from .base import LabelSource
from .merged import MergedSource


def read_rgb(path: str) -> np.ndarray:
    """An image as the pipelines read it: (H, W, 3) uint8, RGB.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it can't be read.
    """
    import mmcv  # slow to import, and only who reads images needs it

    image = mmcv.imread(path)  # None for what is no image; asked for RGB it would fail on that None
    if image is None:
        raise ValueError(f'{path}: image cannot be read')
    return mmcv.bgr2rgb(image)


def split_instances(instances: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The boxes of a dataset item.

    Args:
        instances (Sequence[dict]): Each with ``bbox`` (xyxy in pixel edges), ``bbox_label`` (0..L-1) and
            ``ignore_flag``.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Boxes (K, 4) float64, their labels (K,) int64, and ignored boxes
        (J, 4) float64.
    """
    kept, ignored = (
        [instance for instance in instances if bool(instance['ignore_flag']) == flag] for flag in (False, True)
    )
    boxes, ignored_boxes = (
        np.array([instance['bbox'] for instance in chosen], dtype=np.float64).reshape(-1, 4)
        for chosen in (kept, ignored)
    )
    return boxes, np.array([instance['bbox_label'] for instance in kept], dtype=np.int64), ignored_boxes


def label_from_instances(
    source: LabelSource, image: np.ndarray, instances: Sequence[dict[str, Any]], img_id: str | None = None
) -> np.ndarray:
    """The label map that a source makes of a dataset item.

    Args:
        source (LabelSource): The source.
        image (np.ndarray): (H, W, 3) uint8, RGB.
        instances (Sequence[dict]): Each with ``bbox`` (xyxy in pixel edges), ``bbox_label`` (0..L-1) and
            ``ignore_flag``, as mmengine's datasets hold them.
        img_id (str | None): Id of the image, for sources that look its labels up. Defaults to None.

    Returns:
        np.ndarray: (H, W) uint8, 255 in pixels that lie in ignored boxes only.
    """
    boxes, labels, ignored = split_instances(instances)
    return source(image, boxes, labels + 1, img_id, ignored)


def reliable_label_from_instances(
    source: LabelSource, image: np.ndarray, instances: Sequence[dict[str, Any]], img_id: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The label map of a dataset item, and where it is reliable.

    Args:
        source (LabelSource): The source. Of merged ones the first gives the label; all must agree where it is reliable.
        image, instances, img_id: See :func:`label_from_instances`.

    Returns:
        tuple[np.ndarray, np.ndarray]: The label map (H, W) uint8, and the reliable region (H, W) bool, nowhere 255.
    """
    parts = source.sources if isinstance(source, MergedSource) else (source,)
    label_maps = [label_from_instances(part, image, instances, img_id) for part in parts]
    return label_maps[0], reliable_region(*label_maps)
