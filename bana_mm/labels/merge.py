"""Several label maps into one."""

import numpy as np

from bana_mm.labels.png import IGNORE


def reliable_region(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Where all label maps of an image name the same class (the paper's region S of two maps).

    Args:
        first (np.ndarray): (H, W) uint8, 255 = ignored.
        *others (np.ndarray): (H, W) uint8 each, 255 = ignored. Without any, the region is all that isn't ignored.

    Returns:
        np.ndarray: (H, W) bool.

    Raises:
        ValueError: If the shapes differ.
    """
    reliable = first != IGNORE
    for other in others:
        if first.shape != other.shape:
            raise ValueError(f'label maps of one image must have one shape, got {first.shape} and {other.shape}')
        reliable &= first == other
    return reliable


def agree(first: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep what label maps agree on.

    Args:
        first (np.ndarray): (H, W) uint8, 255 = ignored.
        *others (np.ndarray): (H, W) uint8 each, 255 = ignored.

    Returns:
        tuple[np.ndarray, np.ndarray]: The merged map, (H, W) uint8, 255 where they differ; and the reliable region,
        (H, W) bool, where they name the same class.

    Raises:
        ValueError: If the shapes differ.
    """
    reliable = reliable_region(first, *others)
    return np.where(reliable, first, IGNORE).astype(np.uint8), reliable
