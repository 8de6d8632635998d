"""Masks as COCO's run lengths.

Decoded here because pycocotools does not find out that runs are too few or too many for the mask's size.
"""

from collections.abc import Sequence

import numpy as np


def decode_run_lengths(counts: str | Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The mask that run lengths stand for.

    Args:
        counts (str | Sequence[int]): Lengths of the runs down the columns, of zeros and ones in turn, zeros first; or
            COCO's compressed string of them.
        size (tuple[int, int]): Height and width of the mask in pixels.

    Returns:
        np.ndarray: (H, W) bool.

    Raises:
        ValueError: If they are no run lengths, or their sum is not the number of pixels.
    """
    lengths = _decompress(counts) if isinstance(counts, str) else list(counts)
    if not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise ValueError('run lengths must be whole numbers of at least 0')
    height, width = size
    if sum(lengths) != height * width:
        raise ValueError(f'run lengths sum to {sum(lengths)}, but the mask has {height} x {width} pixels')
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def _decompress(text: str) -> list[int]:
    """Five bits a character, low bits first, 32 marks that more follow, the last one's top bit is the sign.

    From the fourth run on, what is written is the difference to the run before the last.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord('0')
        if not 0 <= bits < 64:
            raise ValueError(f'compressed run lengths hold the character {character!r}')
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # twos complement
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError('compressed run lengths end in the middle of a number')
    return lengths
