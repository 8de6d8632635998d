"""Pictures of a training on masks of instances: the pseudo masks, their reliable region, true masks, predictions."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from bana_mm.evaluation.instance_masks import read_true_masks
from bana_mm.labels.trained_model import TrainedModel, sure_instances
from bana_mm.structures import IGNORE, decode_mask, paint_instances
from bana_mm.structures.run_length import mask_of
from bana_mm.utils.config import find_pseudo_labels

from .survey import ImageSet, MapFolder, Truth, build_dataset

MIN_SCORE = 0.3  # of predicted instances that are drawn


@dataclass
class MaskMaps(MapFolder):
    """The masks that a training learns from, as label maps: the smallest in front.

    Args:
        caption (str): See :class:`MapFolder`.
        folder (Path): The file of the masks.
        kind (str): 'labels', or 'region': with the unreliable pixels ignored.
    """

    def has(self, img_id: str) -> bool:
        """Masks come with the images."""
        return True

    def read(self, info: Mapping[str, Any], size: tuple[int, int] | None = None) -> np.ndarray | None:
        """The map of an image, (H, W) uint8."""
        size = (info['height'], info['width'])
        kept = [one for one in info['instances'] if not one['ignore_flag'] and one.get('mask')]
        label = painted([(one['bbox_label'] + 1, one['mask']) for one in kept], size)
        if self.kind == 'region':
            for one in kept:
                if one.get('unreliable') is not None:
                    label[decode_mask(one['unreliable'], size)] = IGNORE
        return label


def painted(masks: list[tuple[int, Any]], size: tuple[int, int]) -> np.ndarray:
    """The label map of some masks: class index and COCO's ``segmentation`` of each."""
    decoded = [decode_mask(mask_of(mask, size), size) for _, mask in masks]
    return paint_instances(np.array(decoded, dtype=bool).reshape(-1, *size), [index for index, _ in masks])


def instance_images(cfg: Config) -> tuple[ImageSet | None, list[MapFolder]]:
    """The training images of a model of instances, and its masks of them.

    The true masks are those in the file of the boxes, where it has any. They were not trained on.

    Args:
        cfg (Config): Config of the training.

    Returns:
        tuple[ImageSet | None, list[MapFolder]]: None and nothing where its data has no masks, or is not there.
    """
    dataset = build_dataset(cfg, 'train')
    if dataset is None or not any(
        one.get('mask') for index in range(min(len(dataset), 50)) for one in dataset.get_data_info(index)['instances']
    ):
        return None, []
    boxes = (find_pseudo_labels(cfg) or {}).get('boxes')
    file = Path(dataset.ann_file)
    images = ImageSet(dataset, file.stem, _truth(boxes, dataset) if boxes else _no_truth)
    return images, [MaskMaps('masks', file, 'labels'), MaskMaps('reliable region', file, 'region')]


def _no_truth(info: Mapping[str, Any], size: tuple[int, int] | None = None) -> None:
    """Where there are no true masks."""


def _truth(boxes: str, dataset: Any) -> Truth:
    """True label maps by the item of an image; without true masks there are none."""
    by_image: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    try:
        for annotation in read_true_masks(boxes).objects().values():
            index = dataset.cat2label.get(annotation['category_id'])
            if index is not None:
                by_image[annotation['image_id']].append((index + 1, annotation['segmentation']))
    except (FileNotFoundError, ValueError) as error:
        print(f'no true masks: {error}')
        return _no_truth
    return lambda info, size=None: painted(by_image[info['coco_id']], (info['height'], info['width']))


def predicted_instances(model: TrainedModel, rgb: np.ndarray) -> np.ndarray:
    """What a model of instances finds with a score of :data:`MIN_SCORE` or more, as a label map.

    Args:
        model (TrainedModel): The model.
        rgb (np.ndarray): (H, W, 3) uint8.
    """
    found, masks = sure_instances(model.predict(rgb).pred_instances, MIN_SCORE, rgb.shape[:2])
    return paint_instances(masks, (found.labels + 1).tolist())
