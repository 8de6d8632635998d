"""Outlines of masks along the edges of their pixels.

OpenCV's contours run through the centres of the border pixels: a box of 4 pixels would get a polygon of 3. These here
enclose exactly the pixels of the mask, in the coordinates of half-open boxes.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up: each is a turn to the right from the one before


def mask_polygons(mask: np.ndarray) -> list[list[np.ndarray]]:
    """The pieces of a mask as polygons with holes.

    Args:
        mask (np.ndarray): (H, W) bool.

    Returns:
        list[list[np.ndarray]]: For each piece (pixels that touch by a side) its rings, the outer one first, then its
        holes: (n, 2) int64, corners x, y in pixel edges, 0-based, the last not the same as the first. Outer rings run
        clockwise as the image is seen, holes the other way.
    """
    number, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    polygons = []
    for piece in range(1, number):
        x, y, width, height, _ = boxes[piece].tolist()
        rings = _rings(pieces[y : y + height, x : x + width] == piece)
        polygons.append([ring + (x, y) for ring in sorted(rings, key=_signed_area, reverse=True)])
    return polygons


def join_rings(rings: Sequence[np.ndarray]) -> np.ndarray:
    """One ring that encloses what several do, for formats with one ring an object.

    Each further ring is reached from the nearest corner, over a bridge without width that runs there and back.

    Args:
        rings (Sequence[np.ndarray]): At least one, (n, 2) each.

    Returns:
        np.ndarray: (m, 2).
    """
    joined, *others = rings
    for ring in others:
        distances = ((joined[:, None] - ring[None]) ** 2).sum(axis=-1)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        joined = np.concatenate([joined[: here + 1], ring[there:], ring[: there + 1], joined[here:]])
    return joined


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """All rings around the pixels of a mask, which lies to the right of them."""
    padded = np.pad(mask, 1)
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])  # above, right, below, left
    starts = ((0, 0), (1, 0), (1, 1), (0, 1))  # of a pixel's side, from its upper left corner
    leaving: dict[tuple[int, int], list[int]] = {}
    for direction, (neighbour, (dx, dy)) in enumerate(zip(neighbours, starts)):
        for y, x in np.argwhere(mask & ~neighbour).tolist():
            leaving.setdefault((x + dx, y + dy), []).append(direction)
    rings = []
    while leaving:
        point, (direction, *_) = next(iter(leaving.items()))
        first, before, ring = (point, direction), None, []
        while not ring or (point, direction) != first:
            if direction != before:
                ring.append(point)
            _take(leaving, point, direction)
            point = (point[0] + _STEPS[direction][0], point[1] + _STEPS[direction][1])
            before = direction
            # where two pixels touch by a corner, go on around this one
            ahead = [(point, turn % 4) for turn in (direction + 1, direction, direction - 1)]
            point, direction = next(one for one in ahead if one == first or one[1] in leaving.get(point, ()))
        if before == first[1]:  # the walk began in the middle of a side
            ring = ring[1:]
        rings.append(np.array(ring, dtype=np.int64))
    return rings


def _take(leaving: dict[tuple[int, int], list[int]], point: tuple[int, int], direction: int) -> None:
    leaving[point].remove(direction)
    if not leaving[point]:
        del leaving[point]


def _signed_area(ring: np.ndarray) -> float:
    """Above 0 where the ring runs clockwise as the image is seen."""
    (x, y), (next_x, next_y) = ring.T, np.roll(ring, -1, axis=0).T
    return float((x * next_y - next_x * y).sum() / 2)
