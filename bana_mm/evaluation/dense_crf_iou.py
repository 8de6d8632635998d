"""Mean IoU of predictions, also after a CRF, at a single scale and with test-time augmentation."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric
from torch import Tensor

from bana_mm.datasets.image_ids import DistinctNames, prediction_name
from bana_mm.functional import dense_crf, dense_crf_labels
from bana_mm.registry import METRICS
from bana_mm.structures import write_label_png
from bana_mm.utils.run_options import usable_cores
from bana_mm.utils.table import format_table
from bana_mm.utils.worker_pool import Done, WorkerPool

from .confusion import NOTHING_COMPARED
from .contours import ContourCounts

# What the names of the scores end with, and how the log calls them.
FIGURES = {
    '': 'without CRF',
    '_crf': 'with CRF',
    '_tta': 'multi-scale + flip, without CRF',
    '_tta_crf': 'multi-scale + flip, with CRF',
}


@METRICS.register_module()
class DenseCRFIoUMetric(IoUMetric):
    """mmseg's ``IoUMetric``, which with ``with_crf`` reports the predictions refined by a DenseCRF beside the raw ones.

    The CRF takes the softmax of the logits and the image as it lies on disk, in RGB (the reference code feeds it a
    normalised image cast to uint8, which wraps around). Its scores carry the suffix ``_crf``, as in ``mIoU_crf``.
    Samples that hold a ``plain_`` prediction beside that of the augmented images, see ``LogitTTAModel``, give both:
    ``mIoU``, ``mIoU_tta``, and with the CRF ``mIoU_crf`` and ``mIoU_tta_crf``. With ``contours`` each has the mean
    contour F-measure of the object classes beside it, ``mContourF``; the first class is the background then.

    Args:
        with_crf (bool): Refine. Takes about a second of one core for a prediction. Defaults to False.
        crf (dict | None): Arguments of :func:`bana_mm.functional.dense_crf`. Defaults to None, its defaults.
        workers (int | None): Processes that run the CRF while the network goes on; 0 runs it in turn. Defaults to None,
            :func:`bana_mm.utils.run_options.usable_cores`.
        output_dir (str | None): Where predictions go as palette PNG, ``ID.png``: of the augmented images if there are
            such, refined with ``with_crf``. Defaults to None.
        img_dir (str | None): Folder of the images, whose subfolders ``output_dir`` gets too. Defaults to None: files
            are named after the images alone.
        contours (float | None): Tolerance of :class:`ContourCounts`, 0.008 as published. Defaults to None, no contours.
        kwargs: See ``IoUMetric``. With ``format_only`` the samples need no ground truth, and only what goes to
        ``output_dir``
            is refined.
    """

    def __init__(
        self,
        with_crf: bool = False,
        crf: dict | None = None,
        workers: int | None = None,
        output_dir: str | None = None,
        img_dir: str | None = None,
        contours: float | None = None,
        **kwargs,
    ) -> None:
        super().__init__(output_dir=output_dir, **kwargs)
        self.img_dir = img_dir
        self._written = DistinctNames('the prediction')
        self.contours = contours
        if contours is not None:
            ContourCounts(1, contours)  # names a wrong tolerance at once
        self.with_crf = with_crf
        self.crf = dict(crf or {})
        inspect.signature(dense_crf).bind(None, None, **self.crf)  # a TypeError names a wrong key at once
        self.workers = usable_cores() if workers is None else workers
        self._pool: WorkerPool | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count intersections and unions of a batch, and hand its images to the CRF.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): With ``pred_sem_seg``, ``img_path``, ``gt_sem_seg`` unless ``format_only``,
                and for the CRF ``seg_logits``; perhaps ``plain_pred_sem_seg`` and ``plain_seg_logits``.

        Raises:
            ValueError: If the CRF is to refine a single channel, a mask holds a class out of range, or two images would
                share a file in ``output_dir``; the message names the file.
        """
        for sample in data_samples:
            ground_truth = None if self.format_only else sample['gt_sem_seg']['data'].squeeze(0).cpu()
            if ground_truth is not None:
                self._check_ground_truth(ground_truth, sample)
            index = len(self.results)
            self.results.append({})
            fields = {'': ''}
            if 'plain_pred_sem_seg' in sample:
                fields = {'': 'plain_', '_tta': ''}
            final = list(fields)[-1]  # what is saved
            if self.format_only:
                fields = {final: ''}
            for figure, prefix in fields.items():
                prediction = sample[f'{prefix}pred_sem_seg']['data'].squeeze(0).cpu()
                # what is added to the classes of a saved map: 1 for data whose label 0 is no class, as in mmseg
                shift = int(bool(sample.get('reduce_zero_label'))) if figure == final else None
                self._record(
                    index, figure, sample['img_path'], prediction, ground_truth, None if self.with_crf else shift
                )
                if self.with_crf:
                    logits = sample[f'{prefix}seg_logits']['data']
                    self._refine(sample['img_path'], logits, context=(index, f'{figure}_crf', ground_truth, shift))

    def evaluate(self, size: int) -> dict[str, float]:
        """Wait for the CRF and compute the scores of the whole set of ``size`` images."""
        if self._pool is not None:
            with self._pool:
                self._finish(self._pool.drain())
            self._pool = None
        self._written = DistinctNames('the prediction')
        return super().evaluate(size)

    def compute_metrics(self, results: list[Mapping[str, tuple]]) -> dict[str, float]:
        """Scores in percent; logs IoU and accuracy by class.

        Args:
            results (list[Mapping[str, tuple]]): For each image the areas by suffix of the scores.

        Returns:
            dict[str, float]: ``aAcc``, ``mIoU``, ``mAcc``, and the same with ``_crf``, ``_tta`` and ``_tta_crf``;
            with contours ``mContourF`` too.
        """
        if self.format_only:
            print_log(f'{len(results)} predictions are in {self.output_dir}', 'current')
            return {}
        scores = {}
        found = [figure for figure in FIGURES if figure in results[0]]
        for figure in found:
            if len(found) > 1:
                print_log(f'{FIGURES[figure]}:', 'current')
            part = super().compute_metrics([areas[figure] for areas in results])
            if self.contours is not None:
                part['mContourF'] = self._contour_score([counts[f'contours{figure}'] for counts in results])
            if not sum(areas[figure][3] for areas in results)[1:].any():  # pixels of each class in the masks
                print_log(NOTHING_COMPARED, 'current', logging.WARNING)
                part = {key: float('nan') for key in part}
            scores.update({f'{key}{figure}': value for key, value in part.items()})
        if '_tta' in found:
            print_log('\n' + self._table(scores), 'current')
        return scores

    def _contour_score(self, counts: list[np.ndarray]) -> float:
        total = ContourCounts(len(counts[0]), self.contours)
        total.counts = sum(counts)
        return round(100 * total.mean_f(), 2)  # as mmseg rounds its scores

    def _table(self, scores: Mapping[str, float]) -> str:
        main = self.metrics[0]
        rows = [
            [title] + [f'{scores[name]:.2f}' for name in (main + view, f'{main}{view}_crf') if name in scores]
            for title, view in (('single scale', ''), ('multi-scale + flip', '_tta'))
        ]
        return format_table([main, 'without CRF', 'with CRF'][: len(rows[0])], rows)

    def _refine(self, img_path: str, logits: Tensor, context: tuple) -> None:
        if len(logits) < 2:
            raise ValueError(
                f'{img_path}: the CRF takes logits of at least two classes, got shape '
                f'{tuple(logits.shape)}; set with_crf=False'
            )
        if self._pool is None:
            self._pool = WorkerPool(partial(dense_crf_labels, **self.crf), self.workers)
        image = mmcv.imread(img_path, channel_order='rgb')
        probability = logits.float().softmax(dim=0).cpu().numpy()
        self._finish(self._pool.submit(img_path, image, probability, context=context))

    def _finish(self, refined: Sequence[Done]) -> None:
        """Add images that come from the CRF to the results."""
        for img_path, (index, figure, ground_truth, shift), labels in refined:
            self._record(index, figure, img_path, torch.from_numpy(labels), ground_truth, shift)

    def _record(
        self, index: int, figure: str, img_path: str, prediction: Tensor, ground_truth: Tensor | None, shift: int | None
    ) -> None:
        if ground_truth is not None:
            classes = len(self.dataset_meta['classes'])
            self.results[index][figure] = self.intersect_and_union(prediction, ground_truth, classes, self.ignore_index)
            if self.contours is not None:
                one = ContourCounts(classes - 1, self.contours)
                one.update(ground_truth.numpy(), prediction.numpy())
                self.results[index][f'contours{figure}'] = one.counts
        if shift is not None and self.output_dir is not None:
            name = prediction_name(img_path, self.img_dir)
            self._written.add(name, img_path)
            path = Path(self.output_dir) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_png(path, (prediction + shift).to(torch.uint8).numpy())

    def _check_ground_truth(self, ground_truth: Tensor, sample: dict) -> None:
        classes = len(self.dataset_meta['classes'])
        wrong = ground_truth[(ground_truth < 0) | (ground_truth >= classes) & (ground_truth != self.ignore_index)]
        if len(wrong):
            name = sample.get('seg_map_path') or f'mask of {sample["img_path"]}'
            raise ValueError(
                f'{name}: label map holds class {int(wrong[0])}; allowed are 0..{classes - 1} and {self.ignore_index}'
            )
