"""Masks as COCO's run lengths.

pycocotools does the work; but it does not find out that runs are too few or too many for the mask's size, and may then
read past the end, so whatever comes from a file is checked here first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from bana_mm.utils.shortened import shortened

MAX_BITS = 40  # of a run; what is longer would overflow in pycocotools
RunLengths = dict[str, Any]  # size [H, W] and counts, compressed


def encode_mask(mask: np.ndarray, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> RunLengths:
    """COCO's compressed run lengths of a mask, ready for JSON.

    Args:
        mask (np.ndarray): (h, w) bool, a part of the image; all else is not in the mask.
        size (tuple[int, int]): Height and width of the image in pixels.
        corner (tuple[int, int]): Column and row of the part's upper left pixel. Defaults to (0, 0).

    Returns:
        RunLengths: ``size`` [H, W] and ``counts``, a string.
    """
    x, y = corner
    whole = np.zeros(size, np.uint8, order='F')
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return dict(size=list(size), counts=mask_api.encode(whole)['counts'].decode('ascii'))


def decode_mask(run_lengths: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The mask that run lengths stand for.

    Args:
        run_lengths (Mapping): ``size`` [H, W] and ``counts``, see :func:`check_run_lengths`.
        size (tuple[int, int]): Height and width that the mask must have.

    Returns:
        np.ndarray: (H, W) bool.

    Raises:
        ValueError: See :func:`check_run_lengths`.
    """
    lengths = check_run_lengths(run_lengths, size)
    height, width = size
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def compressed(run_lengths: Mapping[str, Any], size: tuple[int, int]) -> RunLengths:
    """Checked run lengths in the form that pycocotools computes with.

    Args:
        run_lengths (Mapping): As for :func:`decode_mask`.
        size (tuple[int, int]): Height and width that the mask must have.

    Raises:
        ValueError: See :func:`check_run_lengths`.
    """
    lengths = check_run_lengths(run_lengths, size)
    if isinstance(run_lengths['counts'], list):
        return mask_api.frPyObjects(dict(size=list(size), counts=lengths), *size)
    return dict(size=list(size), counts=run_lengths['counts'])


def check_run_lengths(run_lengths: Any, size: tuple[int, int]) -> list[int]:
    """The lengths of the runs, refused where they don't fit the image.

    Args:
        run_lengths (Mapping): ``size`` [H, W] and ``counts``: lengths of the runs down the columns, of zeros and ones
            in turn, zeros first; or COCO's compressed string of them.
        size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        list[int]: The lengths; they sum to H * W.

    Raises:
        ValueError: If they are no run lengths, of another size, or too few or too many for the mask's pixels.
    """
    counts = run_lengths.get('counts') if isinstance(run_lengths, Mapping) else None
    if not isinstance(counts, (str, bytes, list)) or not isinstance(run_lengths.get('size'), (list, tuple)):
        raise ValueError(f'run lengths are an object with size [H, W] and counts, got {shortened(run_lengths)}')
    if list(run_lengths['size']) != list(size):
        raise ValueError(f'run lengths have size {run_lengths["size"]} (height, width), but the image {list(size)}')
    if isinstance(counts, bytes):
        counts = counts.decode('latin-1')
    lengths = _decompress(counts) if isinstance(counts, str) else list(counts)
    if not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise ValueError('run lengths must be whole numbers of at least 0')
    height, width = size
    if sum(lengths) != height * width:
        raise ValueError(f'run lengths sum to {sum(lengths)}, but the mask has {height} x {width} pixels')
    return lengths


def mask_of(segmentation: Any, size: tuple[int, int]) -> RunLengths:
    """A mask in any of COCO's formats as compressed run lengths.

    Args:
        segmentation (list | dict): Polygons (lists of x, y, x, y, ...), or run lengths, compressed or not.
        size (tuple[int, int]): Height and width of the image in pixels.

    Raises:
        ValueError: If it is none of these, or the run lengths don't fit the image.
    """
    if isinstance(segmentation, Mapping):
        return compressed(segmentation, size)
    check_polygons(segmentation, size)
    if not all(len(polygon) >= 6 for polygon in segmentation):
        raise ValueError('segmentation must be polygons with at least three points each')
    return mask_api.merge(mask_api.frPyObjects(segmentation, *size))


def check_polygons(segmentation: Any, size: tuple[int, int]) -> None:
    """Refuse polygons that pycocotools can't draw: it takes any memory for points far away, or ends the process.

    Args:
        segmentation (list): Polygons, each a list of x, y, x, y, ... in pixels.
        size (tuple[int, int]): Height and width of the image in pixels.

    Raises:
        ValueError: If they are no polygons, or a point lies further from the image than the image is large.
    """
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, (str, bytes)) or not segmentation:
        raise ValueError(f'segmentation must be polygons or run lengths, got {shortened(segmentation)}')
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise ValueError(f'a polygon must be a list of x, y, x, y, ..., got {shortened(polygon)}')
        for values, length in ((polygon[0::2], size[1]), (polygon[1::2], size[0])):
            for value in values:
                if not isinstance(value, (int, float)) or isinstance(value, bool) or not -length <= value <= 2 * length:
                    raise ValueError(
                        f'a point of a polygon must be numbers in or near the image of {size[0]} x {size[1]} (height x '
                        f'width), got {shortened(value)}'
                    )


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
        if shift > MAX_BITS:
            raise ValueError('compressed run lengths hold a number that no image has pixels for')
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # twos complement
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError('compressed run lengths end in the middle of a number')
    return lengths
