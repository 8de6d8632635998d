"""Mean of a map over a region that may be empty."""

import torch
from torch import Tensor


def region_mean(values: Tensor, region: Tensor) -> Tensor:
    r"""Mean over a region of the whole batch.

    .. math:: \frac{1}{|S|} \sum_{p \in S} v(p)

    Args:
        values (Tensor): (N, H, W) float, finite.
        region (Tensor): S, (N, H, W) bool.

    Returns:
        Tensor: Scalar; zero with zero gradient where the region is empty.

    Raises:
        ValueError: If ``region`` is not bool or of another shape.
    """
    if region.shape != values.shape or region.dtype != torch.bool:
        raise ValueError(
            f'region must be bool of shape {tuple(values.shape)}, got {region.dtype} of shape {tuple(region.shape)}'
        )
    return (values * region).sum() / region.sum().clamp(min=1)
