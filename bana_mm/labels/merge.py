"""Two label maps into one."""

import numpy as np

from bana_mm.labels.png import IGNORE


def agree(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep what two label maps agree on (the paper's reliable region S).

    Args:
        first (np.ndarray): (H, W) uint8, 255 = ignored.
        second (np.ndarray): (H, W) uint8, 255 = ignored.

    Returns:
        tuple[np.ndarray, np.ndarray]: The merged map, (H, W) uint8, 255 where the two differ; and the reliable region,
        (H, W) bool, where they name the same class.

    Raises:
        ValueError: If the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f'label maps of one image must have one shape, got {first.shape} and {second.shape}')
    reliable = (first == second) & (first != IGNORE)
    return np.where(reliable, first, IGNORE).astype(np.uint8), reliable
