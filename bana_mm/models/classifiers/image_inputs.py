"""What classifiers read of a batch beside its boxes: colours as they were, and the classes of whole images."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.model import ImgDataPreprocessor
from torch import Tensor


def batch_colours(
    inputs: Tensor, data_samples: Sequence[DetDataSample], preprocessor: ImgDataPreprocessor | None
) -> Tensor:
    """The images of a batch in [0, 1].

    Args:
        inputs (Tensor): Normalised images, (N, 3, H, W).
        data_samples (Sequence[DetDataSample]): Those with ``gt_colours`` (``KeepColours``) have these, in place of the
            network's input, in which colours may be jittered.
        preprocessor (ImgDataPreprocessor | None): What normalised them.

    Returns:
        Tensor: (N, 3, H, W) float32. The padding keeps its colour, which is the mean's.
    """
    images = inputs.detach().float()
    if getattr(preprocessor, '_enable_normalize', False):
        images = images * preprocessor.std + preprocessor.mean
    images = (images / 255).clamp(0, 1)
    for image, sample in zip(images, data_samples):
        if 'gt_colours' in sample:
            height, width = sample.gt_colours.shape
            image[:, :height, :width] = sample.gt_colours.data / 255
    return images


def image_classes(data_samples: Sequence[DetDataSample], num_classes: int) -> tuple[Tensor, Tensor]:
    """The classes of each image.

    Args:
        data_samples (Sequence[DetDataSample]): With ``gt_image_labels`` and ``gt_image_unknown`` (``ImageLabels``); an
            image without these has the classes of its boxes, and those of which it has only ignored ones are unknown.
        num_classes (int): Object classes L.

    Returns:
        tuple[Tensor, Tensor]: Which classes an image shows, and of which this is known, (N, L) bool each.
    """
    device = data_samples[0].gt_instances.labels.device
    present = torch.zeros(len(data_samples), num_classes, dtype=torch.bool, device=device)
    unknown = torch.zeros_like(present)
    for row, doubtful, sample in zip(present, unknown, data_samples):
        if 'gt_image_labels' in sample:
            labels, ignored = sample.gt_image_labels, sample.gt_image_unknown
        else:
            labels, ignored = sample.gt_instances.labels, sample.get('ignored_instances', {}).get('labels')
        row[labels] = True
        if ignored is not None:
            doubtful[ignored] = True
    return present, present | ~unknown
