"""Notice during training that a class is learned as boxes, or not at all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bana_mm.datasets.metainfo import without_background
from bana_mm.functional import pixel_boxes
from bana_mm.registry import HOOKS
from bana_mm.structures.collapse import CollapseCounts, CollapseRule, fills, whole_regions
from bana_mm.utils.pixel_data import label_map_of

LABEL_ADVICE = dict(
    whole='they tell no more than the boxes. Make the labels of this class with another source, or merge two',
    empty='the class is not learnt from them. Make the labels of this class with another source',
)
PREDICTION_ADVICE = dict(
    whole='the model draws boxes. If so do its labels, take another source for them; the noise-aware loss helps too',
    empty='the model does not find this class. Look at its labels, then train longer or with fewer images of others',
)


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warns of classes whose training labels or predictions are whole rectangles, or whose predictions are empty.

    Labels are looked at in the first iterations of a training, predictions in every validation; of label maps the
    connected regions of a class, of instances their masks inside their boxes. An image whose ground truth has a class
    that is nowhere in the prediction counts as an empty mask of that class. What it finds is logged as a warning that
    names the class and says what to do; the training goes on.

    Args:
        label_iters (int): How many iterations' labels are looked at; 0 for none. Defaults to 50.
        min_masks (int): Of classes with fewer masks nothing is said. Defaults to 10.
        max_share (float): A class has collapsed where more than this share of its masks is whole rectangles, or more
            than this share is empty. Defaults to 0.5.
        min_fill (float): Share of its bounding box that a rectangle fills. Defaults to 0.99.
        min_pixels (int): Smaller regions and boxes are not counted. Defaults to 64.
        score_thr (float): Detections with a lower score are not counted. Defaults to 0.3.
    """

    priority = 'LOW'

    def __init__(
        self,
        label_iters: int = 50,
        min_masks: int = 10,
        max_share: float = 0.5,
        min_fill: float = 0.99,
        min_pixels: int = 64,
        score_thr: float = 0.3,
    ) -> None:
        self.label_iters = label_iters
        self.rule = CollapseRule(min_masks, max_share)
        self.min_fill = min_fill
        self.min_pixels = min_pixels
        self.score_thr = score_thr

    def before_train(self, runner: Runner) -> None:
        """Begin to count labels."""
        self._labels = CollapseCounts(len(_object_classes(runner.train_dataloader)))
        self._left = self.label_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Count the labels of a batch; after the last of them say what was found."""
        if not self._left:
            return
        self._left -= 1
        for sample in data_batch['data_samples']:
            if 'gt_sem_seg' in sample:
                background = _background(runner.train_dataloader, sample)
                self._count_map(self._labels, label_map_of(sample.gt_sem_seg), background)
            elif 'gt_instances' in sample and 'masks' in sample.gt_instances:
                instances = sample.gt_instances
                masks = instances.masks.to_ndarray()
                self._count_instances(self._labels, instances.labels, instances.bboxes, masks)
        if not self._left:
            self._warn(runner, self._labels, _object_classes(runner.train_dataloader), 'labels', LABEL_ADVICE)

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin to count predictions."""
        self._predictions = CollapseCounts(len(_object_classes(runner.val_dataloader)))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Count the predictions of a batch."""
        for sample in outputs or ():
            if 'pred_sem_seg' in sample:
                background = _background(runner.val_dataloader, sample)
                ground_truth = label_map_of(sample.gt_sem_seg) if 'gt_sem_seg' in sample else None
                self._count_map(self._predictions, label_map_of(sample.pred_sem_seg), background, ground_truth)
            elif 'pred_instances' in sample and 'masks' in sample.pred_instances:
                sure = sample.pred_instances[sample.pred_instances.scores >= self.score_thr]
                masks = np.asarray(torch.as_tensor(sure.masks).cpu())
                self._count_instances(self._predictions, sure.labels, sure.bboxes, masks)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Say what was found."""
        names = _object_classes(runner.val_dataloader)
        self._warn(runner, self._predictions, names, 'predictions', PREDICTION_ADVICE)

    def _count_map(
        self, counts: CollapseCounts, label: np.ndarray, background: int, ground_truth: np.ndarray | None = None
    ) -> None:
        classes = range(background, background + len(counts.counts) - 1)  # a value outside says nothing here
        for value in np.unique(label).tolist():
            if value in classes:
                for whole in whole_regions(label, value, self.min_pixels, self.min_fill):
                    counts.add(value + 1 - background, whole=whole)
        if ground_truth is not None:
            values, pixels = np.unique(ground_truth, return_counts=True)
            for value in values[pixels >= self.min_pixels].tolist():
                if value in classes and not (label == value).any():
                    counts.add(value + 1 - background, empty=True)

    def _count_instances(self, counts: CollapseCounts, labels: torch.Tensor, boxes: Any, masks: np.ndarray) -> None:
        boxes = torch.as_tensor(getattr(boxes, 'tensor', boxes)).detach().cpu()
        for label, box, mask in zip(labels.tolist(), boxes, masks):
            x1, y1, x2, y2 = pixel_boxes(box[None], mask.shape)[0].tolist()
            if (x2 - x1) * (y2 - y1) >= self.min_pixels:
                inside = mask[y1:y2, x1:x2].astype(bool)
                counts.add(label + 1, whole=fills(inside, min_fill=self.min_fill), empty=not mask.any())

    def _warn(
        self, runner: Runner, counts: CollapseCounts, names: Sequence[str], what: str, advice: dict[str, str]
    ) -> None:
        total = torch.from_numpy(counts.counts)
        all_reduce(total)
        counts.counts = total.numpy()
        for line in counts.messages(names, advice, what, self.rule):
            runner.logger.warning(f'CollapseHook: {line}')


def _object_classes(dataloader: DataLoader) -> list[str]:
    return without_background(dataloader.dataset.metainfo.get('classes') or ())


def _background(dataloader: DataLoader, sample: Any) -> int:
    """1 where label maps hold a background 0, else 0: the value of the first object class."""
    # mmseg's data sets name the background among their classes if there is one; those with boxes never do.
    return int('gt_instances' in sample or 'background' in (dataloader.dataset.metainfo.get('classes') or ()))
