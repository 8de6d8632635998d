"""Filling rates: which share of a box its object fills (paper Fig. 4b)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from bana_mm.functional import pixel_boxes
from bana_mm.labels import LabelItem, LabelSource, label_map
from bana_mm.structures import IGNORE, check_classes, read_label_png
from bana_mm.utils.progress import Progress
from bana_mm.utils.worker_pool import WorkerPool

GROUND_TRUTH = 'ground truth'


def box_filling_rates(
    label: np.ndarray, boxes: np.ndarray, classes: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Share of each box's pixels that carry the class of the box.

    The paper calls it "the percentage of foreground pixels inside the bounding box" and says no more. Here each pixel
    of a box counts with the label that it has: pixels of another object in front count as not filled if they are of
    another class, and as filled if they are of the same. Pixels labelled 255 count neither above nor below the line,
    nor do those that are not ``valid`` (ours).

    Args:
        label (np.ndarray): (H, W) uint8, 0 background, 1..L classes, 255 ignored.
        boxes (np.ndarray): (K, 4) float, xyxy in pixel edges; rounded and clipped to the image.
        classes (np.ndarray): (K,) int, class index of each box, 1..L.
        valid (np.ndarray | None): (H, W) bool, pixels that may count; those with a ground truth, for example, to
            compare label maps on the same pixels. Defaults to None, all.

    Returns:
        np.ndarray: (K,) float64 in [0, 1], NaN for a box without a pixel that counts.

    Raises:
        ValueError: If there is not one class for each box, or ``valid`` has another size than the label map.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if len(boxes) != len(classes):
        raise ValueError(f'{len(boxes)} boxes but {len(classes)} classes')
    counted = label != IGNORE
    if valid is not None:
        if valid.shape != label.shape:
            raise ValueError(f'label map has shape {label.shape}, valid {valid.shape}')
        counted &= valid
    rates = np.full(len(boxes), np.nan)
    for k, (x1, y1, x2, y2) in enumerate(pixel_boxes(torch.from_numpy(boxes), label.shape).tolist()):
        inside = counted[y1:y2, x1:x2]
        if inside.any():
            rates[k] = np.mean(label[y1:y2, x1:x2][inside] == classes[k])
    return rates


class FillingRates:
    """Filling rates of a data set, collected image by image.

    Attributes:
        rates (np.ndarray): (K,) float64 of all boxes so far, in the order in which they came; NaN where a box has none.
        classes (np.ndarray): (K,) int64, their class indices 1..L.
    """

    def __init__(self) -> None:
        self.rates = np.empty(0)
        self.classes = np.empty(0, dtype=np.int64)

    def update(
        self, label: np.ndarray, boxes: np.ndarray, classes: np.ndarray, valid: np.ndarray | None = None
    ) -> None:
        """Add the boxes of an image, see :func:`box_filling_rates`."""
        self.extend(box_filling_rates(label, boxes, classes, valid), classes)

    def extend(self, rates: np.ndarray, classes: np.ndarray) -> None:
        """Add boxes whose rates are known."""
        self.rates = np.concatenate([self.rates, rates])
        self.classes = np.concatenate([self.classes, np.asarray(classes, dtype=np.int64)])

    def of_class(self, index: int) -> np.ndarray:
        """Rates of the boxes of a class, without those that have none."""
        rates = self.rates[self.classes == index]
        return rates[~np.isnan(rates)]

    def mean(self, index: int | None = None) -> float:
        """Mean rate of a class; without a class the mean of those of the classes. NaN without boxes."""
        if index is not None:
            rates = self.of_class(index)
            return float(rates.mean()) if len(rates) else float('nan')
        means = [mean for mean in map(self.mean, np.unique(self.classes).tolist()) if not np.isnan(mean)]
        return float(np.mean(means)) if means else float('nan')

    def difference(self, other: 'FillingRates') -> float:
        """Mean absolute difference, box by box, to the rates that other labels give the same boxes.

        Args:
            other (FillingRates): The ground truth, say.

        Returns:
            float: In [0, 1]; over boxes that have both rates, NaN without any.

        Raises:
            ValueError: If the boxes are others.
        """
        first, second = self._common(other)
        return float(np.abs(first - second).mean()) if len(first) else float('nan')

    def distance(self, other: 'FillingRates') -> float:
        """Distance of two distributions of rates: how far rates must move, on average, to turn one into the other.

        This is the Wasserstein distance. It compares what the violins show, where :meth:`difference` also asks that
        each box has the right rate.

        Args:
            other (FillingRates): Rates of the same boxes.

        Returns:
            float: In [0, 1]; over boxes that have both rates, NaN without any.

        Raises:
            ValueError: If the boxes are others.
        """
        first, second = self._common(other)
        return float(np.abs(np.sort(first) - np.sort(second)).mean()) if len(first) else float('nan')

    def _common(self, other: 'FillingRates') -> tuple[np.ndarray, np.ndarray]:
        if not np.array_equal(self.classes, other.classes):
            raise ValueError(
                f'filling rates of different boxes ({len(self.classes)} and {len(other.classes)}) cannot be compared'
            )
        both = ~np.isnan(self.rates) & ~np.isnan(other.rates)
        return self.rates[both], other.rates[both]


def measure_filling_rates(
    sources: Mapping[str, LabelSource], dataset: BaseDataset, with_ground_truth: bool = True, workers: int = 0
) -> dict[str, FillingRates]:
    """Filling rates of the boxes of a data set by several kinds of labels.

    Boxes that are marked to be ignored have none; pixels that lie in these alone count nowhere.

    Args:
        sources (Mapping[str, LabelSource]): Labels by name.
        dataset (BaseDataset): Items with ``img_path``, ``instances`` and for the ground truth ``seg_map_path``.
        with_ground_truth (bool): Whether the masks are measured too, as :data:`GROUND_TRUTH`; all labels then count
            only where the mask is not 255. Defaults to True.
        workers (int): Processes; they pay where labels are made, not just read. Defaults to 0.

    Returns:
        dict[str, FillingRates]: By name, the ground truth first; boxes in the order of the items.

    Raises:
        FileNotFoundError: If masks or stored labels are missing: how many, and the first of them.
        RuntimeError: If an image fails; the message names it.
    """
    num_classes = len(dataset.metainfo['classes'])
    items = [dataset.get_data_info(index) for index in range(len(dataset))]
    missing = {name: source.missing([item['img_id'] for item in items]) for name, source in sources.items()}
    if with_ground_truth:
        missing[GROUND_TRUTH] = [item['img_id'] for item in items if 'seg_map_path' not in item]
    for name, ids in missing.items():
        if ids:
            raise FileNotFoundError(
                f'{name}: {len(ids)} of {len(items)} images have no label map: '
                f'{", ".join(ids[:3])}{", ..." if len(ids) > 3 else ""}'
            )

    totals = {name: FillingRates() for name in ([GROUND_TRUTH] if with_ground_truth else []) + list(sources)}
    jobs = ((item['img_path'], (item, sources, num_classes, with_ground_truth), item) for item in items)
    with WorkerPool(image_filling_rates, workers) as pool, Progress(len(items), title='filling rates') as progress:
        for _, item, rates in pool.map(jobs):
            for name, total in totals.items():
                total.extend(rates[name], np.array(_kept(item)[1], dtype=np.int64))
            progress.update()
    return totals


def image_filling_rates(
    item: Mapping[str, Any], sources: Mapping[str, LabelSource], num_classes: int, with_ground_truth: bool
) -> dict[str, np.ndarray]:
    """Rates of the boxes of an item by name, (K,) each, see :func:`measure_filling_rates`. Runs in any process."""
    image = LabelItem.from_info(item)
    boxes, classes = _kept(item)
    rates, valid = {}, None
    if with_ground_truth:
        ground_truth = read_label_png(item['seg_map_path'], image.layout.size, num_classes)
        valid = ground_truth != IGNORE
        rates[GROUND_TRUTH] = box_filling_rates(ground_truth, boxes, classes)
    for name, source in sources.items():
        label = label_map(source, image)
        check_classes(label, num_classes, name)
        rates[name] = box_filling_rates(label, boxes, classes, valid)
    return rates


def _kept(item: Mapping[str, Any]) -> tuple[list[list[float]], list[int]]:
    """Boxes of an item that are not ignored, and their class indices 1..L."""
    kept = [instance for instance in item['instances'] if not instance['ignore_flag']]
    return [instance['bbox'] for instance in kept], [instance['bbox_label'] + 1 for instance in kept]
