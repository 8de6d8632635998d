"""What stage 1 is validated by."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from bana_mm.labels.item import read_rgb
from bana_mm.labels.unaries import label_task
from bana_mm.registry import METRICS
from bana_mm.structures import BoxLayout
from bana_mm.utils.pixel_data import label_map_of
from bana_mm.utils.table import format_table

from .confusion import NOTHING_COMPARED, ConfusionMatrix


@METRICS.register_module()
class PseudoLabelMetric(BaseMetric):
    """Accuracy of the classified boxes, and mIoU of the label maps made from them.

    It reads samples with ``gt_instances.labels`` and ``pred_instances.labels`` (K,), one prediction a box, 0..L-1 and
    -1 for background. For samples with ``gt_sem_seg`` (1, H, W), 0 background, 1..L, 255 ignored, it makes Y_crf from
    the ``activation_maps`` that ``BoxClassifier`` adds to them and the image at ``img_path``, or takes
    ``pred_sem_seg`` where that is there. Object classes without background come from the dataset's
    ``metainfo['classes']``.

    Results, in percent: ``box_acc`` over all boxes; ``box_acc_mean_class``, the mean of the accuracies of the classes
    that have a box; ``label_mIoU`` over background and classes that the masks hold, if there are masks; NaN, with a
    warning, where these hold no object. The figures of each class are logged as a table.

    Args:
        collect_device (str): See mmengine's ``BaseMetric``. Defaults to 'cpu'.
        prefix (str, optional): Put in front of the names of the results. Defaults to None.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what counts of a batch.

        Raises:
            ValueError: If a sample has not one prediction for each box; the message names the image.
        """
        num_classes = len(self._classes)
        for sample in data_samples:
            ground_truth, predicted = (_array(sample[key]['labels']) for key in ('gt_instances', 'pred_instances'))
            if ground_truth.shape != predicted.shape:
                raise ValueError(
                    f'{sample.get("img_path", "sample")}: {len(ground_truth)} boxes in gt_instances.labels but '
                    f'{len(predicted)} in pred_instances.labels'
                )
            result = dict(
                boxes=np.bincount(ground_truth, minlength=num_classes),
                correct=np.bincount(ground_truth[ground_truth == predicted], minlength=num_classes),
            )
            if 'gt_sem_seg' in sample and ('pred_sem_seg' in sample or 'activation_maps' in sample):
                predicted = label_map_of(sample['pred_sem_seg']) if 'pred_sem_seg' in sample else _make_label(sample)
                confusion = ConfusionMatrix(num_classes)
                confusion.update(label_map_of(sample['gt_sem_seg']), predicted, sample.get('img_path'))
                result.update(counts=confusion.counts)
            self.results.append(result)

    def compute_metrics(self, results: list[dict[str, np.ndarray]]) -> dict[str, float]:
        """Put the images together."""
        boxes, correct = (sum(result[key] for result in results) for key in ('boxes', 'correct'))
        with np.errstate(invalid='ignore'):
            accuracy = 100 * correct / boxes  # NaN for classes without boxes
        metrics = dict(
            box_acc=float(100 * correct.sum() / boxes.sum()) if boxes.sum() else float('nan'),
            box_acc_mean_class=float(accuracy[boxes > 0].mean()) if boxes.sum() else float('nan'),
        )

        rows = [['background', '', '']]
        rows += [[name, str(count), _percent(share)] for name, count, share in zip(self._classes, boxes, accuracy)]
        header = ['class', 'boxes', 'accuracy']
        shown = np.concatenate([[False], boxes > 0])
        counts = [result['counts'] for result in results if 'counts' in result]
        if counts:
            confusion = ConfusionMatrix(len(self._classes))
            confusion.counts = sum(counts)
            metrics['label_mIoU'] = 100 * confusion.mean_iou()
            if not confusion.compares_objects():
                print_log(f'label_mIoU: {NOTHING_COMPARED}', logger='current', level=logging.WARNING)
            header.append('label IoU')
            for row, iou in zip(rows, confusion.iou()):
                row.append(_percent(100 * iou))
            shown |= confusion.present()
        print_log('\n' + format_table(header, [row for row, show in zip(rows, shown) if show]), logger='current')
        return metrics

    @property
    def _classes(self) -> Sequence[str]:
        return self.dataset_meta['classes']


def _array(values: Any) -> np.ndarray:
    values = getattr(values, 'tensor', values)  # of mmdet's boxes
    return values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _make_label(sample: dict[str, Any]) -> np.ndarray:
    """Y_crf of a sample that a classifier has seen, (H, W) uint8."""
    boxes, ignored = (_array(sample[key]['bboxes']) for key in ('gt_instances', 'ignored_instances'))
    classes = _array(sample['gt_instances']['labels']) + 1
    layout = BoxLayout.from_boxes(sample['ori_shape'][:2], boxes, classes, ignored)
    return label_task(read_rgb(sample['img_path']), sample['activation_maps'], layout, sample['label_recipe']).run()


def _percent(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.2f}'
