"""Label maps: 0 background, 1..L object classes, 255 ignored; checked, and several merged into one."""

from pathlib import Path

import numpy as np

IGNORE = 255
BLOCK = 1 << 20  # pixels that are looked at at once
UNDECIDED = ('ignore', 'first')


def check_classes(label: np.ndarray, num_classes: int | None, name: str | Path) -> None:
    """Refuse a label map with a class out of range.

    Args:
        label (np.ndarray): (H, W) uint8.
        num_classes (int | None): Number L of object classes: allowed values are 0..L and 255. None allows any.
        name (str | Path): What the message calls the label map.

    Raises:
        ValueError: If there is another value.
    """
    if num_classes is None:
        return
    found = values_of(label)
    wrong = found[(found > num_classes) & (found != IGNORE)]
    if len(wrong):
        raise ValueError(f'{name}: label map holds class {wrong[0]}; allowed are 0..{num_classes} and {IGNORE}')


def values_of(label: np.ndarray) -> np.ndarray:
    """The values that a label map holds, in ascending order.

    Args:
        label (np.ndarray): (H, W) uint8.

    Returns:
        np.ndarray: (N,) int64.
    """
    pixels = label.ravel()
    seen = np.zeros(256, bool)
    for start in range(0, pixels.size, BLOCK):  # bincount makes each value eight bytes long
        seen |= np.bincount(pixels[start : start + BLOCK], minlength=256) > 0
    return np.flatnonzero(seen)


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


def vote(first: np.ndarray, *others: np.ndarray, undecided: str = 'ignore') -> tuple[np.ndarray, np.ndarray]:
    """Let label maps vote: each pixel gets the class that more than half of the maps name (ours).

    Ignored pixels of a map are votes for no class.

    Args:
        first (np.ndarray): (H, W) uint8, 255 = ignored.
        *others (np.ndarray): (H, W) uint8 each, 255 = ignored. Of two maps both must agree.
        undecided (str): What pixels without a majority are: 'ignore', 255; or 'first', as in the first map. Defaults to
            'ignore'.

    Returns:
        tuple[np.ndarray, np.ndarray]: The merged map, (H, W) uint8; and where there is a majority, (H, W) bool.

    Raises:
        ValueError: If the shapes differ, or for another ``undecided``.
    """
    if undecided not in UNDECIDED:
        raise ValueError(f'undecided must be one of {", ".join(UNDECIDED)}, got {undecided!r}')
    maps = (first, *others)
    for other in others:
        if first.shape != other.shape:
            raise ValueError(f'label maps of one image must have one shape, got {first.shape} and {other.shape}')
    merged = (first if undecided == 'first' else np.full(first.shape, IGNORE)).astype(np.uint8)
    decided = np.zeros(first.shape, dtype=bool)
    for one in maps[: len(maps) // 2 + 1]:  # a class with a majority is named by one of these
        most = (2 * sum((one == other).astype(np.int16) for other in maps) > len(maps)) & (one != IGNORE)
        merged[most] = one[most]
        decided |= most
    return merged, decided
