"""Instance labels of a data set: from its images to finished lines of JSON."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel

from bana_mm.datasets.transforms.check_image_size import size_problem

from .coco_json import encode_mask
from .coco_json_parts import LabelParts, PartWriter
from .instance import InstanceLabelGenerator
from .instance_task import InstanceMask, InstanceTask, crf_instances
from .label_run import LabelRun
from .network import Features
from .runner import ImageJob, label_images
from .sources import split_instances
from .task import BoxLayout


def generate_instance_labels(
    model: BaseModel,
    dataset: BaseDataset,
    parts: LabelParts,
    maker: InstanceLabelGenerator,
    workers: int = 0,
    loading_workers: int = 0,
    batch_size: int = 1,
    indices: Sequence[int] | None = None,
    rank: int = 0,
) -> LabelRun:
    """Label the instances of images of a dataset.

    Args:
        model (BaseModel): Trained ``BoxClassifier`` in evaluation mode, on its device.
        dataset (BaseDataset): A ``CocoBoxDataset`` with images at their own size.
        parts (LabelParts): Where the labels go; begun, see :meth:`LabelParts.begin`.
        maker (InstanceLabelGenerator): Recipe and classifier weights.
        workers, loading_workers, batch_size, indices: See :func:`bana_mm.labels.runner.label_images`.
        rank (int): Number of the file that this process writes. Defaults to 0.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be loaded or labelled (the message names it), or a worker dies.
    """
    if indices is None:
        indices = [i for i in range(len(dataset)) if not parts.has(dataset.get_data_info(i)['img_id'])]
    with parts.writer(rank) as writer:
        return label_images(
            model, dataset, InstanceJob(dataset, maker, writer), workers, loading_workers, batch_size, indices
        )


class InstanceJob(ImageJob):
    """Masks of instances into parts of a file."""

    work = staticmethod(crf_instances)

    def __init__(self, dataset: BaseDataset, maker: InstanceLabelGenerator, writer: PartWriter) -> None:
        self.dataset = dataset
        self.maker = maker
        self.writer = writer
        self.recipe = maker.generator.recipe
        self.device = maker.generator.weight.device

    def prepare(self, index: int, image: np.ndarray, features: Features) -> tuple[tuple[InstanceTask], BoxLayout]:
        info = self.dataset.get_data_info(index)
        if image.shape[:2] != (info['height'], info['width']):
            raise ValueError(size_problem(info['img_path'], image.shape[:2], (info['height'], info['width'])))
        boxes, labels, ignored = map(torch.from_numpy, split_instances(info['instances']))
        layout = BoxLayout.from_boxes(image.shape[:2], boxes, labels, ignored)
        return (self.maker.prepare(features, image, layout),), layout

    def finish(self, index: int, features: Features, layout: BoxLayout, masks: list[InstanceMask]) -> None:
        info = self.dataset.get_data_info(index)
        ids = [instance['ann_id'] for instance in info['instances'] if not instance['ignore_flag']]
        labels = self.maker.finish(features, layout, masks)
        entries = []
        for ann_id, (x1, y1, _, _), label in zip(ids, layout.boxes.tolist(), labels, strict=True):
            entries.append(
                dict(
                    id=ann_id,
                    segmentation=encode_mask(label.mask, layout.size, (x1, y1)),
                    unreliable=encode_mask(label.unreliable, layout.size, (x1, y1)),
                    area=int(label.mask.sum()),
                    score=round(label.score, 6),
                )
            )
        self.writer.write(info['img_id'], entries)
