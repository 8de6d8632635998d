"""Mean of a map over a region that may be empty."""

import torch
from torch import Tensor

from .reduction import check_reduction, num_ranks, sum_over_ranks


def region_mean(values: Tensor, region: Tensor, reduce: str = 'local') -> Tensor:
    r"""Mean over a region of the whole batch.

    .. math:: \frac{1}{|S|} \sum_{p \in S} v(p)

    Args:
        values (Tensor): (N, H, W) float, finite.
        region (Tensor): S, (N, H, W) bool.
        reduce (str): 'local' divides by the region of this process; 'global' by that of all processes, see
            :mod:`bana_mm.functional.reduction`. Defaults to 'local'.

    Returns:
        Tensor: Scalar; zero with zero gradient where the region is empty.

    Raises:
        ValueError: If ``region`` is not bool or of another shape.
    """
    if region.shape != values.shape or region.dtype != torch.bool:
        raise ValueError(
            f'region must be bool of shape {tuple(values.shape)}, got {region.dtype} of shape {tuple(region.shape)}'
        )
    size = sum_over_ranks(region.sum(), check_reduction(reduce)).clamp(min=1)
    return (values * region).sum() * num_ranks(reduce) / size
