"""Masks of a smaller copy of an image at the image's own size, decided anew along their borders (ours).

The colours of the image say where a border runs between the pixels of the smaller copy: near it a mask is fitted as a
linear function of the colour, window by window, on the smaller copy (He, Sun and Tang, "Guided image filtering", 2013),
and that function is applied to the image at its own size (He and Sun, "Fast guided filter", 2015). All else is taken
from the nearest pixel of the smaller copy. Work and memory go with the smaller copy and with one tile of the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

# Measured on enlarged masks of photographs, docs/scaling.md.
RADIUS = 2  # pixels of the smaller copy from the middle of a window to its edge
EPS = 1e-2  # variance of colours in [0, 1] below which a window tells nothing
BAND = 2  # pixels of the smaller copy on both sides of a border that are decided anew
TILE = 512  # side of a tile in pixels of the image

Rect = tuple[int, int, int, int]  # xyxy in pixels, half-open


@dataclass(frozen=True)
class Enlarging:
    """Which pixels of an image lie in which of its smaller copy.

    Args:
        size (tuple[int, int]): Height and width of the image in pixels.
        small (tuple[int, int]): Those of the copy.
    """

    size: tuple[int, int]
    small: tuple[int, int]

    def nearest(self, rect: Rect, within: Rect | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Row and column in the copy of the pixels of a rectangle of the image.

        Args:
            rect (tuple[int, int, int, int]): The rectangle.
            within (tuple[int, int, int, int] | None): A rectangle of the copy that is not left. Defaults to None.

        Returns:
            tuple[np.ndarray, np.ndarray]: (y2 - y1,) and (x2 - x1,) int64.
        """
        x1, y1, x2, y2 = rect
        left, top, right, bottom = within or (0, 0, self.small[1], self.small[0])
        rows = (2 * np.arange(y1, y2) + 1) * self.small[0] // (2 * self.size[0])
        columns = (2 * np.arange(x1, x2) + 1) * self.small[1] // (2 * self.size[1])
        return rows.clip(top, bottom - 1), columns.clip(left, right - 1)

    def take(self, values: np.ndarray, rect: Rect, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
        """The nearest values for a rectangle of the image.

        Args:
            values (np.ndarray): (h, w), a part of the copy.
            rect (tuple[int, int, int, int]): The rectangle.
            corner (tuple[int, int]): Column and row of the part in the copy. Defaults to (0, 0).

        Returns:
            np.ndarray: (y2 - y1, x2 - x1).
        """
        x, y = corner
        rows, columns = self.nearest(rect, (x, y, x + values.shape[1], y + values.shape[0]))
        return values[rows - y][:, columns - x]

    def sample(self, values: np.ndarray, rect: Rect, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Values between the pixels of the copy, bilinear: as :meth:`take`, of (h, w) or (h, w, C) float32."""
        x, y = corner
        rows, columns = self.nearest(rect, (x, y, x + values.shape[1], y + values.shape[0]))
        top, left = max(rows[0] - y - 1, 0), max(columns[0] - x - 1, 0)
        part = values[top : rows[-1] - y + 2, left : columns[-1] - x + 2]
        (height, width), (scale_y, scale_x) = (
            (rect[3] - rect[1], rect[2] - rect[0]),
            (self.small[0] / self.size[0], self.small[1] / self.size[1]),
        )
        move_x = (rect[0] + 0.5) * scale_x - 0.5 - x - left
        move_y = (rect[1] + 0.5) * scale_y - 0.5 - y - top
        back = np.array([[scale_x, 0, move_x], [0, scale_y, move_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(part, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


class GuidedMask:
    """A mask on a part of the smaller copy, and what it depends on along its border.

    Args:
        enlarging (Enlarging): Sizes of image and copy.
        guide (np.ndarray): (h, w, 3) uint8, the copy's pixels of that part.
        mask (np.ndarray): (h, w) bool.
        inside (np.ndarray | None): (h, w) bool, pixels that count: where the mask ends with them is no border of it.
            Defaults to None, all.
        corner (tuple[int, int]): Column and row of the part in the copy. Defaults to (0, 0).
    """

    def __init__(
        self,
        enlarging: Enlarging,
        guide: np.ndarray,
        mask: np.ndarray,
        inside: np.ndarray | None = None,
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        self.enlarging = enlarging
        self.mask = mask
        self.corner = corner
        self._guide = guide
        self._inside = np.ones_like(mask) if inside is None else inside

    @cached_property
    def band(self) -> np.ndarray:
        """The pixels of the part along the border of the mask: (h, w) bool."""
        around = np.ones((2 * BAND + 1,) * 2, np.uint8)
        largest = cv2.dilate((self.mask & self._inside).view(np.uint8), around)
        smallest = cv2.erode((self.mask | ~self._inside).view(np.uint8), around)
        return (largest != smallest) & self._inside

    def has_border(self, rect: Rect) -> bool:
        """Whether any pixel of a rectangle of the image is to be decided anew."""
        rows, columns = self.enlarging.nearest(rect)
        x, y = self.corner
        top, left = max(rows[0] - y, 0), max(columns[0] - x, 0)
        return bool(self.band[top : max(rows[-1] + 1 - y, 0), left : max(columns[-1] + 1 - x, 0)].any())

    def score(self, rect: Rect, pixels: np.ndarray) -> np.ndarray:
        """How much each pixel of a rectangle is one of the mask, about 0..1; means something along the border only.

        Args:
            rect (tuple[int, int, int, int]): In the image.
            pixels (np.ndarray): (y2 - y1, x2 - x1, 3) uint8, its pixels.

        Returns:
            np.ndarray: (y2 - y1, x2 - x1) float32.
        """
        slopes = self.enlarging.sample(self._slopes, rect, self.corner)
        values = self.enlarging.sample(self.mask.astype(np.float32), rect, self.corner)
        detail = pixels - self.enlarging.sample(self._guide.astype(np.float32), rect, self.corner)
        return values + (slopes * detail).sum(axis=2) / 255

    @cached_property
    def _slopes(self) -> np.ndarray:
        """(h, w, 3) float32: how much the mask changes with each colour."""
        guide, weight = self._guide.astype(np.float32) / 255, self._inside.astype(np.float32)
        count = _window_sum(weight).clip(min=1)
        needed = cv2.dilate(self.band.view(np.uint8), np.ones((2 * RADIUS + 1,) * 2, np.uint8)).view(bool)
        needed &= self._inside

        def mean(values: np.ndarray) -> np.ndarray:
            return (_window_sum(values * weight) / count)[needed].astype(np.float64)

        values = self.mask.astype(np.float32)
        colours, value = [guide[..., c] for c in range(3)], mean(values)
        means = np.stack([mean(colour) for colour in colours], axis=1)  # (N, 3)
        variance = np.empty((len(means), 3, 3))
        for i in range(3):
            for j in range(i, 3):
                variance[:, i, j] = mean(colours[i] * colours[j]) - means[:, i] * means[:, j]
                variance[:, j, i] = variance[:, i, j]
        variance += EPS * np.eye(3)
        covariance = np.stack([mean(colour * values) for colour in colours], axis=1) - means * value[:, None]
        slope = np.linalg.solve(variance, covariance[..., None])[..., 0]  # (N, 3)
        slopes = np.zeros((*values.shape, 3), np.float32)
        slopes[needed] = slope
        return _window_sum(slopes * weight[..., None]) / count[..., None]


def tiles(rect: Rect, side: int = TILE) -> Iterator[Rect]:
    """Rectangles of at most ``side`` pixels a side that make up a larger one."""
    x1, y1, x2, y2 = rect
    for top in range(y1, y2, side):
        for left in range(x1, x2, side):
            yield left, top, min(left + side, x2), min(top + side, y2)


def _window_sum(values: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(values, -1, (2 * RADIUS + 1,) * 2, normalize=False, borderType=cv2.BORDER_CONSTANT)
