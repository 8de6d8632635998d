"""What a classifier of images is validated by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from bana_mm.registry import METRICS
from bana_mm.structures import IGNORE
from bana_mm.utils.pixel_data import label_map_of
from bana_mm.utils.table import format_table

from .confusion import ConfusionMatrix, check_pair
from .contours import ContourCounts


@METRICS.register_module()
class ActivationMapMetric(BaseMetric):
    """Average precision of image labels, and mIoU of class activation maps.

    It reads what ``ImageClassifier`` adds to a sample: ``pred_image_scores`` and ``gt_image_classes`` (L,); and where
    there is a mask, ``gt_sem_seg``, ``pred_activations`` (C, H, W) and ``activation_classes`` (C,). A pixel has the
    class of the highest map, or is background where none exceeds a constant level. Object classes without background
    come from the dataset's ``metainfo['classes']``.

    Results, in percent: ``image_mAP``, the mean over the classes that an image shows of the area under precision and
    recall; ``cam_mIoU`` at the first level; of several levels ``cam_mIoU_best`` and ``best_level``, which are found on
    the images that they are for; ``cam_contour_F`` with ``contours``.

    Args:
        levels (Sequence[float]): Scores of the background. Defaults to (0.14, ).
        contours (float | None): Tolerance of :class:`ContourCounts`. Defaults to None, no contours.
        contour_level (float): Score of the background for contours. Defaults to 0.25 (reference code of the importance
            sampling and feature similarity losses).
        collect_device (str): See mmengine's ``BaseMetric``. Defaults to 'cpu'.
        prefix (str | None): Put in front of the names of the results. Defaults to None.

    Raises:
        ValueError: Without a level, or for one outside 0..1.
    """

    def __init__(
        self,
        levels: Sequence[float] = (0.14,),
        contours: float | None = None,
        contour_level: float = 0.25,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.levels = tuple(levels)
        if not self.levels or not all(0 <= level <= 1 for level in (*self.levels, contour_level)):
            raise ValueError(f'levels must be numbers in [0, 1], at least one, got {self.levels}, {contour_level}')
        self.contours = contours
        self.contour_level = contour_level

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what counts of a batch."""
        for sample in data_samples:
            result = dict(
                scores=sample['pred_image_scores'].cpu().numpy(), present=sample['gt_image_classes'].cpu().numpy()
            )
            if 'gt_sem_seg' in sample and 'pred_activations' in sample:
                result.update(self._count(sample))
            self.results.append(result)

    def _count(self, sample: dict) -> dict[str, np.ndarray]:
        ground_truth, num_classes = label_map_of(sample['gt_sem_seg']), len(self._classes)
        maps = sample['pred_activations']['data'].float().cpu()
        classes = np.concatenate([[0], sample['activation_classes'].cpu().numpy()]).astype(np.uint8)
        scores, best = torch.cat([maps.new_full((1, *maps.shape[1:]), -1.0), maps]).max(dim=0)
        best, scores = classes[best.numpy()], scores.numpy()
        check_pair(ground_truth, best, num_classes, sample.get('img_path'))
        result = dict(counts=count_levels(ground_truth, best, scores, self.levels, num_classes))
        if self.contours is not None:
            one = ContourCounts(num_classes, self.contours)
            one.update(ground_truth, np.where(scores > np.float32(self.contour_level), best, 0))
            result.update(contours=one.counts)
        return result

    def compute_metrics(self, results: list[dict[str, np.ndarray]]) -> dict[str, float]:
        """Put the images together."""
        num_classes = len(self._classes)
        scores, present = (np.stack([result[key] for result in results]) for key in ('scores', 'present'))
        precision = average_precision(scores, present)
        metrics = dict(image_mAP=100 * _mean(precision))
        columns = {'images': present.sum(0), 'AP': 100 * precision}
        counts = [result['counts'] for result in results if 'counts' in result]
        if counts:
            confusions = []
            for level_counts in sum(counts):
                confusions.append(ConfusionMatrix(num_classes))
                confusions[-1].counts = level_counts
            scores = [100 * confusion.mean_iou() for confusion in confusions]
            metrics['cam_mIoU'] = scores[0]
            if len(self.levels) > 1:
                best = int(np.nanargmax(scores))
                metrics.update(cam_mIoU_best=scores[best], best_level=self.levels[best])
            columns['CAM IoU'] = 100 * confusions[0].iou()[1:]
        contours = [result['contours'] for result in results if 'contours' in result]
        if contours:
            total = ContourCounts(num_classes, self.contours)
            total.counts = sum(contours)
            metrics['cam_contour_F'] = 100 * total.mean_f()
            columns['contour F'] = np.where(total.present(), 100 * total.f_score(), np.nan)
        rows = [
            [name, *(_cell(column[index]) for column in columns.values())] for index, name in enumerate(self._classes)
        ]
        print_log('\n' + format_table(['class', *columns], rows), logger='current')
        return metrics

    @property
    def _classes(self) -> Sequence[str]:
        return self.dataset_meta['classes']


def count_levels(
    ground_truth: np.ndarray, best: np.ndarray, scores: np.ndarray, levels: Sequence[float], num_classes: int
) -> np.ndarray:
    """What :class:`ConfusionMatrix` counts of an image at many scores of the background, with one pass over its pixels.

    Args:
        ground_truth (np.ndarray): (H, W) int, 0..L and 255.
        best (np.ndarray): The class with the highest score, (H, W) int, 0..L.
        scores (np.ndarray): That score, (H, W) float32.
        levels (Sequence[float]): K scores of the background, in any order; a class must exceed them.
        num_classes (int): Number L of object classes.

    Returns:
        np.ndarray: (K, L + 1, L + 2) int64, see ``ConfusionMatrix.counts``.
    """
    ascending = np.argsort(levels, kind='stable')
    exceeded = np.searchsorted(np.asarray(levels, np.float32)[ascending], scores, side='left')  # how many levels
    valid, classes = ground_truth != IGNORE, num_classes + 1
    cells = (exceeded[valid] * classes + ground_truth[valid]) * classes + best[valid]
    counts = np.bincount(cells, minlength=(len(levels) + 1) * classes**2).reshape(-1, classes, classes)
    shown = counts[::-1].cumsum(0)[::-1][1:]  # pixels that exceed a level exceed those below it
    result = np.zeros((len(levels), classes, classes + 1), np.int64)
    result[ascending, :, :-1] = shown
    result[:, :, 0] += counts.sum(axis=(0, 2)) - result.sum(axis=2)  # all others are background
    return result


def average_precision(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Average precision of each class: the mean, over the images that show it, of the precision down to each of them.

    Args:
        scores (np.ndarray): (N, L) float.
        present (np.ndarray): (N, L) bool.

    Returns:
        np.ndarray: (L,) float64 in [0, 1]; NaN for classes that no image shows. Images of one score count as one step.
    """
    result = np.full(scores.shape[1], np.nan)
    for index in np.flatnonzero(present.any(axis=0)):
        own, shown = scores[:, index], present[:, index]
        ahead = own[:, None] >= own[shown]  # which images stand before each of those that show the class, or beside it
        result[index] = (ahead[shown].sum(axis=0) / ahead.sum(axis=0)).mean()
    return result


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float('nan')


def _cell(value: float) -> str:
    if isinstance(value, (int, np.integer)):
        return str(value)
    return '-' if np.isnan(value) else f'{value:.2f}'
