"""Mean IoU of predictions, also after a CRF, at a single scale and with test-time augmentation."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric
from torch import Tensor

from bana_mm.functional import dense_crf, dense_crf_labels
from bana_mm.registry import METRICS
from bana_mm.structures import write_label_png
from bana_mm.utils.run_options import usable_cores
from bana_mm.utils.table import format_table
from bana_mm.utils.worker_pool import Done, WorkerPool

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
    ``mIoU``, ``mIoU_tta``, and with the CRF ``mIoU_crf`` and ``mIoU_tta_crf``.

    Args:
        with_crf (bool): Refine. Takes about a second of one core for a prediction. Defaults to False.
        crf (dict | None): Arguments of :func:`bana_mm.functional.dense_crf`. Defaults to None, its defaults.
        workers (int | None): Processes that run the CRF while the network goes on; 0 runs it in turn. Defaults to None,
            :func:`bana_mm.utils.run_options.usable_cores`.
        output_dir (str | None): Where predictions go as palette PNG, ``ID.png``: of the augmented images if there are
            such, refined with ``with_crf``. Defaults to None.
        kwargs: See ``IoUMetric``. With ``format_only`` the samples need no truth, and only what goes to ``output_dir``
            is refined.
    """

    def __init__(
        self,
        with_crf: bool = False,
        crf: dict | None = None,
        workers: int | None = None,
        output_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(output_dir=output_dir, **kwargs)
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
            ValueError: If the CRF is to refine a single channel.
        """
        for sample in data_samples:
            truth = None if self.format_only else sample['gt_sem_seg']['data'].squeeze(0).cpu()
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
                saves = figure == final
                self._record(index, figure, sample['img_path'], prediction, truth, saves and not self.with_crf)
                if self.with_crf:
                    logits = sample[f'{prefix}seg_logits']['data']
                    self._refine(sample['img_path'], logits, context=(index, f'{figure}_crf', truth, saves))

    def evaluate(self, size: int) -> dict[str, float]:
        """Wait for the CRF and compute the scores of the whole set of ``size`` images."""
        if self._pool is not None:
            with self._pool:
                self._finish(self._pool.drain())
            self._pool = None
        return super().evaluate(size)

    def compute_metrics(self, results: list[Mapping[str, tuple]]) -> dict[str, float]:
        """Scores in percent; logs IoU and accuracy by class.

        Args:
            results (list[Mapping[str, tuple]]): For each image the areas by suffix of the scores.

        Returns:
            dict[str, float]: ``aAcc``, ``mIoU``, ``mAcc``, and the same with ``_crf``, ``_tta`` and ``_tta_crf``.
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
            scores.update({f'{key}{figure}': value for key, value in part.items()})
        if '_tta' in found:
            print_log('\n' + self._table(scores), 'current')
        return scores

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
        for img_path, (index, figure, truth, saves), labels in refined:
            self._record(index, figure, img_path, torch.from_numpy(labels), truth, saves)

    def _record(
        self, index: int, figure: str, img_path: str, prediction: Tensor, truth: Tensor | None, saves: bool
    ) -> None:
        if truth is not None:
            classes = len(self.dataset_meta['classes'])
            self.results[index][figure] = self.intersect_and_union(prediction, truth, classes, self.ignore_index)
        if saves and self.output_dir is not None:
            write_label_png(Path(self.output_dir) / f'{Path(img_path).stem}.png', prediction.to(torch.uint8).numpy())
