"""Read a map from a data sample, whichever of the two codebases packed it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.structures import PixelData
from torch import Tensor


def label_map_of(pixel_data: PixelData | Mapping[str, Any]) -> np.ndarray:
    """The label map of a field of a sample: ``gt_sem_seg`` is packed as ``sem_seg`` by mmdet and as ``data`` by mmseg.

    Args:
        pixel_data (PixelData | Mapping): The map in one of these fields, (1, H, W) or (H, W), on any device. Evaluators
            are given samples as dictionaries.

    Returns:
        np.ndarray: (H, W), of the map's dtype.
    """
    label = pixel_data.get('sem_seg' if 'sem_seg' in pixel_data else 'data')
    label = label.cpu().numpy() if isinstance(label, Tensor) else np.asarray(label)
    return label.reshape(label.shape[-2:])
