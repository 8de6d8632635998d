"""Panels: what the stages make of one image, side by side in one picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bana_mm.structures import agree
from bana_mm.utils.palette import voc_palette

IGNORED_COLOUR = (255, 255, 255)
TEXT_SIZE = 15  # pixels
STRIP = 22  # height of captions and legend in pixels
GAP = 4  # pixels between cells


def label_overlay(image: np.ndarray, label: np.ndarray, opacity: float = 0.7) -> np.ndarray:
    """A label map over a darkened grey image: classes in VOC's colours, ignored pixels white.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        label (np.ndarray): (H, W) uint8, 0 background, 1..L, 255 ignored.
        opacity (float): Of the colours, in [0, 1]. Defaults to 0.7.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB.
    """
    _check_size(image, label, 'label')
    colours = np.array([*voc_palette(255), IGNORED_COLOUR])[label]
    grey = _grey(image)
    mixed = np.where(label[..., None] == 0, 0.6 * grey, (1 - opacity) * grey + opacity * colours)
    return np.rint(mixed).astype(np.uint8)


def heat_map(image: np.ndarray, values: np.ndarray, opacity: float = 0.65) -> np.ndarray:
    """Values as colours (dark violet 0, yellow 1) over the grey image.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        values (np.ndarray): (H, W) float; clipped to [0, 1].
        opacity (float): Of the colours, in [0, 1]. Defaults to 0.65.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB.
    """
    _check_size(image, values, 'values')
    level = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.rint((1 - opacity) * _grey(image) + opacity * colours).astype(np.uint8)


def draw_boxes(image: np.ndarray, boxes: np.ndarray, labels: Sequence[int], scale: float = 1.0) -> np.ndarray:
    """Boxes as outlines in their class's colour with a thin black rim.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        boxes (np.ndarray): (K, 4) float xyxy, 0-based, half-open.
        labels (Sequence[int]): K class indices in 1..L.
        scale (float): Pixels of ``image`` for each unit of the boxes. Defaults to 1.0.

    Returns:
        np.ndarray: A copy of the image, (H, W, 3) uint8 RGB.
    """
    palette = voc_palette(256)
    drawn = Image.fromarray(image)
    pen = ImageDraw.Draw(drawn)
    for box, label in zip(np.asarray(boxes, dtype=float).reshape(-1, 4) * scale, labels):
        x1, y1 = np.rint(box[:2]).astype(int).tolist()
        x2, y2 = (np.rint(box[2:]).astype(int) - 1).tolist()  # the last pixel inside
        pen.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=(0, 0, 0), width=4)
        if x2 - x1 > 2 and y2 - y1 > 2:
            pen.rectangle((x1 + 1, y1 + 1, x2 - 1, y2 - 1), outline=tuple(palette[label]), width=2)
    return np.asarray(drawn)


def panel_row(cells: Mapping[str, np.ndarray], legend: Mapping[str, Sequence[int]] | None = None) -> np.ndarray:
    """Pictures side by side, each under its caption, with a legend below.

    Args:
        cells (Mapping[str, np.ndarray]): Caption to (H, W, 3) uint8 RGB, all of one size.
        legend (Mapping[str, Sequence[int]] | None): Name to RGB colour. Defaults to None.

    Returns:
        np.ndarray: One picture, uint8 RGB.

    Raises:
        ValueError: Without cells, or if their sizes differ.
    """
    sizes = {cell.shape for cell in cells.values()}
    if len(sizes) != 1:
        raise ValueError(f'panels need one or more cells of one size, got {sorted(sizes)}')
    font = ImageFont.load_default(TEXT_SIZE)
    height, width, _ = sizes.pop()
    step = max(width, *(int(font.getlength(caption)) + GAP for caption in cells)) + GAP
    sheet = Image.new('RGB', (step * len(cells) + GAP, STRIP + height + (STRIP if legend else GAP)), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for index, (caption, cell) in enumerate(cells.items()):
        left = GAP + index * step
        pen.text((left, STRIP / 2), caption, (0, 0, 0), font, anchor='lm')
        sheet.paste(Image.fromarray(cell), (left, STRIP))
    left, middle = GAP, STRIP + height + STRIP // 2
    for name, colour in (legend or {}).items():
        pen.rectangle((left, middle - 6, left + 12, middle + 6), fill=tuple(colour), outline=(0, 0, 0))
        pen.text((left + 17, middle), name, (0, 0, 0), font, anchor='lm')
        left += 17 + int(font.getlength(name)) + 4 * GAP
    return np.asarray(sheet)


def render_panels(
    image: np.ndarray,
    classes: Sequence[str],
    *args: Any,
    height: int = 224,
    **maps: Any,
) -> np.ndarray:
    """What is known of an image, as one row.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        classes (Sequence[str]): See :func:`panel_cells`, as for all further arguments.
        height (int): Of each cell in pixels; the width follows. Defaults to 224.

    Returns:
        np.ndarray: One picture, uint8 RGB.

    Raises:
        ValueError: If a map has another size than the image.
    """
    return panel_row(*panel_cells(image, classes, *args, height=height, **maps))


def panel_cells(
    image: np.ndarray,
    classes: Sequence[str],
    boxes: np.ndarray | None = None,
    labels: Sequence[int] = (),
    attention: np.ndarray | None = None,
    cam: np.ndarray | None = None,
    y_crf: np.ndarray | None = None,
    y_ret: np.ndarray | None = None,
    predictions: Mapping[str, np.ndarray] | None = None,
    ground_truth: np.ndarray | None = None,
    height: int = 224,
    confidence: np.ndarray | None = None,
    others: Mapping[str, np.ndarray] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Sequence[int]]]:
    """What is known of an image, a picture each; what is not given is left out.

    In this order: image, boxes, attention, CAM, Y_crf, Y_ret, other label maps, agreement (of Y_crf and Y_ret: the
    reliable region, white where they differ), confidence, one for each prediction, ground truth.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        classes (Sequence[str]): Names of the object classes, without background.
        boxes (np.ndarray | None): (K, 4) float xyxy, 0-based, half-open. Defaults to None.
        labels (Sequence[int]): K class indices in 1..L. Defaults to none.
        attention (np.ndarray | None): Background attention, (H, W) in [0, 1]. Defaults to None.
        cam (np.ndarray | None): Class activation, (H, W) >= 0, shown divided by its maximum. Defaults to None.
        y_crf (np.ndarray | None): (H, W) uint8. Defaults to None.
        y_ret (np.ndarray | None): (H, W) uint8. Defaults to None.
        predictions (Mapping[str, np.ndarray] | None): Caption to (H, W) uint8. Defaults to None.
        ground_truth (np.ndarray | None): (H, W) uint8. Defaults to None.
        height (int): Of each picture in pixels; the width follows. Defaults to 224.
        confidence (np.ndarray | None): Sigma, (H, W) in [0, 1]. Defaults to None.
        others (Mapping[str, np.ndarray] | None): Caption to (H, W) uint8, labels of other sources. Defaults to None.

    Returns:
        tuple[dict, dict]: Caption to (height, width, 3) uint8 RGB; and the legend, name to RGB colour.

    Raises:
        ValueError: If a map has another size than the image.
    """
    maps = {'Y_crf': y_crf, 'Y_ret': y_ret, **(others or {})}
    if y_crf is not None and y_ret is not None:
        maps['agreement'] = agree(y_crf, y_ret)[0]
    maps = {caption: label for caption, label in maps.items() if label is not None}
    judged = {**(predictions or {}), **({} if ground_truth is None else {'ground truth': ground_truth})}

    scale = height / image.shape[0]
    large = resize(image, scale, cv2.INTER_CUBIC)
    cells = dict(image=large)
    if boxes is not None:
        cells['boxes'] = draw_boxes(large, boxes, labels, scale)
    if attention is not None:
        cells['attention'] = resize(heat_map(image, attention), scale, cv2.INTER_LINEAR)
    if cam is not None:
        cells['CAM'] = resize(heat_map(image, cam / max(float(cam.max()), 1e-12)), scale, cv2.INTER_LINEAR)
    for caption, label in maps.items():
        cells[caption] = resize(label_overlay(image, label), scale, cv2.INTER_NEAREST)
    if confidence is not None:
        cells['confidence'] = resize(heat_map(image, confidence), scale, cv2.INTER_LINEAR)
    for caption, label in judged.items():
        cells[caption] = resize(label_overlay(image, label), scale, cv2.INTER_NEAREST)

    palette = voc_palette(256)
    shown = [*maps.values(), *judged.values()]
    present = sorted({*map(int, labels), *(int(v) for label in shown for v in np.unique(label))} - {0, 255})
    legend: dict[str, Sequence[int]] = {classes[index - 1]: palette[index] for index in present}
    if any((label == 255).any() for label in shown):
        legend['ignored'] = IGNORED_COLOUR
    return cells, legend


def resize(image: np.ndarray, scale: float, interpolation: int) -> np.ndarray:
    """A picture with both sides multiplied by ``scale``, in one of OpenCV's interpolations."""
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=interpolation)


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None].astype(float)


def _check_size(image: np.ndarray, values: np.ndarray, name: str) -> None:
    if values.shape != image.shape[:2]:
        raise ValueError(f'{name} has shape {values.shape}, the image has height and width {image.shape[:2]}')
