"""Mean IoU of predictions, also after a CRF."""

import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric
from torch import Tensor

from bana_mm.functional import dense_crf
from bana_mm.labels import CRFPool, Done, usable_cores, write_label_png
from bana_mm.registry import METRICS


@METRICS.register_module()
class DenseCRFIoUMetric(IoUMetric):
    """mmseg's ``IoUMetric``, which with ``with_crf`` reports the predictions refined by a DenseCRF beside the raw ones.

    The CRF takes the softmax of the logits and the image as it lies on disk, in RGB (the reference code feeds it a
    normalised image cast to uint8, which wraps around). Its scores carry the suffix ``_crf``, as in ``mIoU_crf``.

    Args:
        with_crf (bool): Refine. Takes about a second of one core for an image. Defaults to False.
        crf (dict | None): Arguments of :func:`bana_mm.functional.dense_crf`. Defaults to None, its defaults.
        workers (int | None): Processes that run the CRF while the network goes on; 0 runs it in turn. Defaults to None,
            one for each core.
        output_dir (str | None): Where predictions go as palette PNG, ``ID.png``; the refined ones with ``with_crf``.
            Defaults to None.
        kwargs: See ``IoUMetric``.
    """

    def __init__(self, with_crf: bool = False, crf: dict | None = None, workers: int | None = None,
                 output_dir: str | None = None, **kwargs) -> None:
        super().__init__(output_dir=output_dir, **kwargs)
        self.with_crf = with_crf
        self.crf = dict(crf or {})
        inspect.signature(dense_crf).bind(None, None, **self.crf)  # a TypeError names a wrong key at once
        self.workers = usable_cores() if workers is None else workers
        self._pool: CRFPool | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count intersections and unions of a batch, and hand its images to the CRF.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): With ``pred_sem_seg``, ``img_path``, ``gt_sem_seg`` unless ``format_only``,
                and for the CRF ``seg_logits``.
        """
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data'].squeeze(0).cpu()
            truth = None if self.format_only else sample['gt_sem_seg']['data'].squeeze(0).cpu()
            index = len(self.results)
            self.results.append(self._areas(prediction, truth))
            if not self.with_crf:
                self._save(sample['img_path'], prediction)
                continue
            if self._pool is None:
                self._pool = CRFPool(partial(dense_crf, **self.crf), self.workers)
            image = mmcv.imread(sample['img_path'], channel_order='rgb')
            probability = sample['seg_logits']['data'].float().softmax(dim=0).cpu().numpy()
            self._finish(self._pool.submit(sample['img_path'], image, probability, context=(index, truth)))

    def evaluate(self, size: int) -> dict[str, float]:
        """Wait for the CRF and compute the scores of the whole set of ``size`` images."""
        if self._pool is not None:
            with self._pool:
                self._finish(self._pool.drain())
            self._pool = None
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Scores in percent.

        Args:
            results (list[tuple]): For each image the areas without and, where there is one, with the CRF.

        Returns:
            dict[str, float]: ``aAcc``, ``mIoU``, ``mAcc``, and the same with ``_crf``.
        """
        scores = super().compute_metrics([areas[:4] for areas in results])
        if self.with_crf and not self.format_only:
            print_log('with the CRF:', 'current')
            refined = super().compute_metrics([areas[4:] for areas in results])
            scores.update({f'{key}_crf': value for key, value in refined.items()})
        return scores

    def _finish(self, refined: Sequence[Done]) -> None:
        """Add images that come from the CRF to the results."""
        for img_path, (index, truth), posterior in refined:
            prediction = torch.from_numpy(posterior.argmax(axis=0))
            self.results[index] += self._areas(prediction, truth)
            self._save(img_path, prediction)

    def _areas(self, prediction: Tensor, truth: Tensor | None) -> tuple[Tensor, ...]:
        if truth is None:
            return ()
        return self.intersect_and_union(prediction, truth, len(self.dataset_meta['classes']), self.ignore_index)

    def _save(self, img_path: str, prediction: Tensor) -> None:
        if self.output_dir is not None:
            path = Path(self.output_dir) / f'{Path(img_path).stem}.png'
            write_label_png(path, prediction.to(torch.uint8).numpy())
