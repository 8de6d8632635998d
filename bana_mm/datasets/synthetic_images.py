"""Drawing of synthetic images with exact masks, for :mod:`bana_mm.datasets.synthetic`.

Each class has a shape and a texture, both the same in all images; colours say nothing about the class. In each image
two colours are drawn for each patch of the background and two for each object, all from one distribution. Patches and
their texture continue inside the boxes. The texture of the background depends on the class of the first object most of
the time, as cows stand on grass: a classifier that pools whole boxes may learn the background instead. Objects fill 40
to 65 % of their box before others cover them.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

SUPERSAMPLING = 4  # samples a side and pixel for the objects' edges
CONTEXT = 0.7  # share of images whose background follows the class of their first object
MIN_VISIBLE = 0.7  # of an object's pixels, once later objects are drawn over it
MIN_CONTRAST = 40.0  # distance in RGB (0..255) between an object's mean colour and those of all else


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    radius = np.hypot(u, v)
    return (radius > 0.6) & (radius < 1)


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (v < 0.9) & (np.abs(u) < (v + 1) / 2)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.minimum(np.abs(u), np.abs(v)) < 0.3) & (np.maximum(np.abs(u), np.abs(v)) < 1)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # In the sector of one of five points the edge is a line from the tip (radius 1) to the notch (radius 0.55).
    sector = np.abs((np.arctan2(u, -v) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    along, across = np.hypot(u, v) * np.cos(sector), np.hypot(u, v) * np.sin(sector)
    notch = 0.55 * np.cos(np.pi / 5), 0.55 * np.sin(np.pi / 5)
    return across * (1 - notch[0]) < (1 - along) * notch[1]


def _animal(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    body = (u / 0.75) ** 2 + ((v - 0.05) / 0.42) ** 2 < 1
    head = (u - 0.7) ** 2 + (v + 0.5) ** 2 < 0.32**2
    legs = ((np.abs(u + 0.45) < 0.12) | (np.abs(u - 0.45) < 0.12)) & (v > 0) & (v < 0.95)
    tail = np.hypot(u + 0.85, v + 0.25) < 0.15
    return body | head | legs | tail


def _checks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return ((x // 4 + y // 4) % 2).astype(float)


def _stripes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (y // 4 % 2).astype(float)


def _dots(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (np.hypot(x % 9 - 4.5, y % 9 - 4.5) < 2.8).astype(float)


def _waves(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.5 + 0.5 * np.sin((x + 3 * np.sin(y / 3)) * 0.8)


def _spots(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (_smooth_noise(rng, x.shape, 4) > 0.5).astype(float)


# Class -> (shape, texture). A shape maps coordinates in [-1, 1] to inside or not; v points down.
OBJECTS: dict[str, tuple[Callable, Callable]] = dict(
    ring=(_ring, _checks),
    triangle=(_triangle, _stripes),
    cross=(_cross, _dots),
    star=(_star, _waves),
    animal=(_animal, _spots),
)
SYNTHETIC_CLASSES = tuple(OBJECTS)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Noise of one frequency, (H, W) in [0, 1]: about one blob every ``cell`` pixels."""
    height, width = shape
    grid = rng.random((int(height / cell) + 4, int(width / cell) + 4), dtype=np.float32)
    noise = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    return np.clip(noise[int(cell) :, int(cell) :][:height, :width], 0, 1)


def _clouds(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return sum(share * _smooth_noise(rng, shape, cell) for share, cell in ((0.5, 32), (0.3, 14), (0.2, 7)))


def _bands(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle, period = rng.uniform(0, np.pi), rng.uniform(14, 22)
    wobble = 5 * _smooth_noise(rng, shape, 24)
    return 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle) + wobble) * 2 * np.pi / period)


def _grain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 0.5 * _smooth_noise(rng, shape, 24) + 0.5 * _smooth_noise(rng, shape, 2)


BACKGROUNDS = (_clouds, _bands, _grain)


def _patches(rng: np.random.Generator, shape: tuple[int, int], number: int) -> np.ndarray:
    """A partition into irregular patches with soft edges: shares (number, H, W) that sum to 1."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 16 * np.stack([_smooth_noise(rng, shape, 16) for _ in range(2)])
    centres = rng.uniform(0, 1, (number, 2)) * shape
    nearest = np.argmin([np.hypot(y - row, x - column) for row, column in centres], axis=0)
    return np.stack([cv2.GaussianBlur((nearest == index).astype(np.float32), (0, 0), 1) for index in range(number)])


class _Object:
    """One drawn object.

    Args:
        rng (np.random.Generator): Source of its place, size, rotation and texture.
        name (str): Its class.
        shape (tuple[int, int]): Height and width of the image in pixels.

    Attributes:
        alpha: (H, W) share of each pixel that it covers.
        texture: (H, W) in [0, 1].
        fill: Its share of its own box.
    """

    def __init__(self, rng: np.random.Generator, name: str, shape: tuple[int, int]) -> None:
        self.name = name
        inside, texture = OBJECTS[name]
        height, width = shape
        radius = min(shape) * rng.uniform(0.18, 0.36)
        aspect = rng.uniform(0.85, 1.18)
        angle, mirror = rng.uniform(-0.5, 0.5), rng.choice([-1, 1])
        x0, y0 = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)

        def turned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)

        # Only the pixels that it may reach are sampled.
        reach = 1.7 * radius  # more than the diagonal of its turned and stretched square
        left, top = max(0, int(x0 - reach)), max(0, int(y0 - reach))
        right, bottom = min(width, int(x0 + reach) + 1), min(height, int(y0 + reach) + 1)
        x = np.arange(left, right, 1 / SUPERSAMPLING) + 0.5 / SUPERSAMPLING
        y = np.arange(top, bottom, 1 / SUPERSAMPLING)[:, None] + 0.5 / SUPERSAMPLING
        u, v = turned(x - x0, y - y0)
        covered = inside(mirror * u / (radius * aspect), v / (radius / aspect))
        covered = covered.reshape(bottom - top, SUPERSAMPLING, right - left, SUPERSAMPLING).mean(axis=(1, 3))
        self.alpha = np.zeros(shape)
        self.alpha[top:bottom, left:right] = covered
        offset = rng.uniform(0, 20, 2)
        self.texture = texture(*turned(np.arange(width) + offset[0], np.arange(height)[:, None] + offset[1]), rng)
        x1, y1, x2, y2 = tight_box(self.mask)
        self.fill = self.mask.sum() / max(1, (x2 - x1) * (y2 - y1))

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: pixels of which it covers at least half."""
        return self.alpha >= 0.5


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box of a mask.

    Args:
        mask (np.ndarray): (H, W) bool.

    Returns:
        tuple[int, int, int, int]: xyxy, 0-based, half-open; all 0 for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _place_objects(rng: np.random.Generator, classes: Sequence[str], shape: tuple[int, int]) -> list[_Object]:
    """One to three objects whose boxes may overlap, in drawing order; each stays mostly visible."""
    wanted = rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])
    placed: list[_Object] = []
    for _ in range(200):
        new = _Object(rng, str(rng.choice(classes)), shape)
        if not 0.4 <= new.fill <= 0.65:
            continue
        covered = [old.mask & ~_union([new, *placed[index + 1 :]]) for index, old in enumerate(placed)]
        background = 1 - _union([*placed, new]).mean()
        if background > 0.5 and all(now.sum() >= MIN_VISIBLE * old.mask.sum() for now, old in zip(covered, placed)):
            placed.append(new)
        if len(placed) == wanted:
            break
    return placed


def _union(objects: Sequence[_Object]) -> np.ndarray:
    """(H, W) bool, a False that broadcasts for no object."""
    return np.any([one.mask for one in objects], axis=0)


def _paint(pair: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """A texture (H, W) in two colours (2, 3): (H, W, 3)."""
    return pair[0] * (1 - texture[..., None]) + pair[1] * texture[..., None]


def _colour_pair(rng: np.random.Generator, others: Sequence[np.ndarray]) -> np.ndarray:
    """Two colours, (2, 3) in 0..255, whose mean differs from the mean of each other pair."""
    while True:
        mean = rng.uniform(45, 210, 3)
        half = rng.normal(size=3)
        half *= rng.uniform(20, 40) / np.linalg.norm(half)
        if all(np.linalg.norm(mean - other.mean(axis=0)) >= MIN_CONTRAST for other in others):
            return np.stack([mean - half, mean + half])


def draw_image(
    rng: np.random.Generator, classes: Sequence[str], shape: tuple[int, int]
) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """Draw one image.

    Args:
        rng (np.random.Generator): Decides everything.
        classes (Sequence[str]): Classes that may appear, out of :data:`SYNTHETIC_CLASSES`.
        shape (tuple[int, int]): Height and width in pixels.

    Returns:
        tuple[np.ndarray, list]: (H, W, 3) uint8 RGB, and for each object its class and the (H, W) bool mask of its
        visible pixels.
    """
    objects = _place_objects(rng, classes, shape)
    kind = SYNTHETIC_CLASSES.index(objects[0].name) if objects and rng.random() < CONTEXT else rng.integers(100)
    pairs = [_colour_pair(rng, []) for _ in range(rng.integers(5, 10))]
    texture = BACKGROUNDS[kind % len(BACKGROUNDS)](rng, shape)
    shares = _patches(rng, shape, len(pairs))
    image = sum(_paint(pair, texture) * share[..., None] for pair, share in zip(pairs, shares))
    for one in objects:
        pairs.append(_colour_pair(rng, pairs))
        alpha = one.alpha[..., None]
        image = image * (1 - alpha) + _paint(pairs[-1], one.texture) * alpha
    image = image + rng.normal(0, 3, image.shape)
    visible = [(one.name, one.mask & ~_union(objects[index + 1 :])) for index, one in enumerate(objects)]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), visible
