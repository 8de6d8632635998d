"""How the confidence in an image's labels develops (paper Fig. 5), as one row of pictures."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from bana_mm.structures import IGNORE
from bana_mm.utils.palette import voc_palette

from .panels import IGNORED_COLOUR, heat_map, label_overlay, panel_row, resize


def confidence_strip(
    image: np.ndarray,
    classes: Sequence[str],
    labels: Mapping[str, np.ndarray],
    reliable: np.ndarray | None,
    confidences: Mapping[str, np.ndarray],
    ground_truth: np.ndarray | None = None,
    height: int = 224,
) -> np.ndarray:
    """Columns: image, every label map, where they disagree, ground truth, every confidence map.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        classes (Sequence[str]): Names of the object classes, without background.
        labels (Mapping[str, np.ndarray]): Caption to (H, W) uint8, 0 background, 1..L, 255 ignored. The first is the
            one that is trained on.
        reliable (np.ndarray | None): S, (H, W) bool; pixels outside it are white. None leaves the column out.
        confidences (Mapping[str, np.ndarray]): Caption to sigma, (H, W) in [0, 1]. Ignored pixels are white.
        ground_truth (np.ndarray | None): (H, W) uint8. Defaults to None, no such column.
        height (int): Of each cell in pixels; the width follows. Defaults to 224.

    Returns:
        np.ndarray: One picture, uint8 RGB.

    Raises:
        ValueError: If a map has another size than the image.
    """
    trained = next(iter(labels.values()))
    maps = dict(labels)
    if reliable is not None:
        maps['disagreement (white)'] = np.where(reliable, trained, IGNORE).astype(np.uint8)
    if ground_truth is not None:
        maps['ground truth'] = ground_truth
    scale = height / image.shape[0]
    cells = {'image': resize(image, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)}
    for caption, label in maps.items():
        cells[caption] = resize(label_overlay(image, label), scale, cv2.INTER_NEAREST)
    for caption, confidence in confidences.items():
        drawn = heat_map(image, confidence)
        drawn[trained == IGNORE] = IGNORED_COLOUR
        cells[caption] = resize(drawn, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)

    palette = voc_palette(256)
    present = sorted({int(value) for label in maps.values() for value in np.unique(label)} - {0, IGNORE})
    legend = {classes[index - 1]: palette[index] for index in present}
    if any((label == IGNORE).any() for label in maps.values()):
        legend['unreliable or ignored'] = IGNORED_COLOUR
    if confidences:
        pixel = np.zeros((1, 1, 3), np.uint8)
        legend |= {
            f'sigma {value:g}': heat_map(pixel, np.full((1, 1), value), opacity=1)[0, 0].tolist()
            for value in (0, 0.5, 1)
        }
    return panel_row(cells, legend)
