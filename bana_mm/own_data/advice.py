"""What to change in the configs for a data set: sizes of images, distances of the CRF, lengths of the trainings.

The configs are made for PASCAL VOC: images 500 pixels long of which crops of 321 are seen, 10,582 training images.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from .statistics import Statistics

VOC_SIDE = 500  # the longer side of VOC's images
VOC_CROP = 321
BATCH = 20
STRIDE = 8  # of the features
MIN_CELLS = 4  # that a box should have on each side after scaling
MIN_ITERATIONS = 400  # the fewest with which this project has measured a classifier or a segmentation model
BILATERAL = (4, 55, 3)  # weight, distance and colour of the labels' CRF
GAUSSIAN = (3, 3)
# The CRFs of the tests: their distances follow the size of the images too.
TEST_CRFS = dict(v1=((4, 121, 5), (3, 3)), v2=((4, 67, 3), (3, 1)))


@dataclass
class Schedule:
    """The length of a training.

    Args:
        epochs (int): As on VOC.
        iterations (int): Of batches of :data:`BATCH` that make these epochs of the training images.
        advised (int): The same, but at least :data:`MIN_ITERATIONS`.
    """

    epochs: int
    iterations: int
    advised: int


@dataclass
class Advice:
    """What to change.

    Args:
        scale (int): To which the longer side is brought before it is scaled by 0.5 to 1.5.
        crop (int): Height and width of crops in pixels.
        crf_factor (float): By which the CRF's distances differ from VOC's.
        classifier, segmentation (Schedule): Lengths of the trainings of 15 and of 45 epochs.
        reasons (list[str]): Why, one sentence or two each.
    """

    scale: int
    crop: int
    crf_factor: float
    classifier: Schedule
    segmentation: Schedule
    reasons: list[str] = field(default_factory=list)

    def bilateral(self, voc: tuple[float, float, float] = BILATERAL) -> tuple[float, float, float]:
        """Weight, distance in pixels and colour of the CRF's kernel of position and colour."""
        return voc[0], _short(voc[1] * self.crf_factor), voc[2]

    def gaussian(self, voc: tuple[float, float] = GAUSSIAN) -> tuple[float, float]:
        """Weight and distance in pixels of the kernel of the position alone."""
        return voc[0], _short(voc[1] * self.crf_factor)

    def as_preset(self) -> dict[str, Any]:
        """The ``overrides`` of a preset, see :func:`bana_mm.utils.config.apply_preset`."""
        resize = dict(scale=(self.scale, self.scale))
        crop = dict(crop_size=(self.crop, self.crop))
        pipeline = dict(train_dataloader=dict(dataset=dict(pipeline=dict(resize=resize, crop=crop))))
        classifier, segmentation = self.classifier.advised, self.segmentation.advised
        parts: dict[str, Any] = dict(
            classifier=dict(
                when={'model.type': 'bana_mm.BoxClassifier'},
                set=dict(
                    **pipeline,
                    train_cfg=dict(max_iters=classifier, val_interval=classifier),
                    param_scheduler=[
                        dict(type='MultiStepLR', by_epoch=False, milestones=[round(classifier * 5 / 8)], gamma=0.1)
                    ],
                    model=dict(label_recipe=dict(crf=dict(bilateral=self.bilateral(), gaussian=self.gaussian()))),
                ),
            ),
            segmentation=dict(
                when={'model.type': 'EncoderDecoder', 'train_dataloader.dataset.pipeline.crop.type': _CROPS},
                set=dict(
                    **pipeline,
                    train_cfg=dict(max_iters=segmentation, val_interval=math.ceil(segmentation / 5)),
                    param_scheduler=[
                        dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=segmentation, by_epoch=False)
                    ],
                    model=dict(data_preprocessor=dict(size=(self.crop, self.crop))),
                ),
            ),
        )
        for name, (bilateral, gaussian) in TEST_CRFS.items():
            crf = dict(bilateral=self.bilateral(bilateral), gaussian=self.gaussian(gaussian))
            parts[f'test_crf_{name}'] = dict(
                when={'test_evaluator.crf.bilateral': [bilateral]}, set=dict(test_evaluator=dict(crf=crf))
            )
        return parts


_CROPS = ('RandomCrop', 'bana_mm.PaddedSegRandomCrop')


def advise(statistics: Statistics) -> Advice:
    """Sizes and lengths for a data set.

    The scale lets a quarter of the boxes at most have less than four of the features' cells a side, within limits: at
    least VOC's (or twice the images' own size), at most the images' own. The crop is as large in scaled images as VOC's
    is in those of VOC. The CRF works on the images as they are, so its distances go with their size. All of it is ours:
    rules of thumb, none of them measured on other data than VOC and COCO.

    Args:
        statistics (Statistics): Of the data set.
    """
    reasons = []
    long_side = statistics.long_side.median
    scale = _scale(statistics, reasons)
    crop = STRIDE * round(scale * VOC_CROP / VOC_SIDE / STRIDE) + 1
    if crop > VOC_CROP:
        reasons.append(
            f'Crops of {crop} pixels take {(crop / VOC_CROP) ** 2:.1f} times the memory of those of {VOC_CROP}; with '
            'less memory, halve train_dataloader.batch_size and optim_wrapper.optimizer.lr, and double the iterations.'
        )
    factor = round(long_side / VOC_SIDE, 3)
    low, high = statistics.long_side.quarter, statistics.long_side.three_quarters
    if high > 2 * low:
        reasons.append(
            f"The CRF's distances are pixels of the images as they are, and half of these differ by more than a factor "
            f'of two ({low:.0f} to {high:.0f} pixels): bring them to one size first, or see what the largest get.'
        )
    train = statistics.images.get('train', 0)
    schedules = []
    for epochs in (15, 45):
        iterations = math.ceil(epochs * train / BATCH)
        schedules.append(Schedule(epochs, iterations, max(iterations, MIN_ITERATIONS)))
    few = [f'{one.epochs} epochs' for one in schedules if one.iterations < MIN_ITERATIONS]
    if few:
        reasons.append(
            f'{" and ".join(few)} of {train} images are too few iterations for new layers to learn anything: '
            f'{MIN_ITERATIONS} are the fewest with which a classifier or a segmentation model was measured here.'
        )
    if statistics.little_background * 4 > statistics.total:
        reasons.append(
            f'{statistics.little_background} of {statistics.total} images are nearly filled by their boxes. Crops with '
            'less than an eighth of background are pooled without background; many of them make the attention worse. '
            'Images with more around the objects would help.'
        )
    return Advice(scale, crop, factor, schedules[0], schedules[1], reasons)


def _scale(statistics: Statistics, reasons: list[str]) -> int:
    long_side = statistics.long_side.median
    least = min(VOC_SIDE, 2 * long_side)
    most = max(least, long_side)
    if least < VOC_SIDE:
        reasons.append(f'The images are small: they are enlarged to twice their size, not to {VOC_SIDE} pixels.')
    if statistics.box_share is None:
        return _rounded(least)
    wanted = MIN_CELLS * STRIDE / statistics.box_share.quarter
    scale = _rounded(min(max(wanted, least), most))
    if wanted > least:
        text = (
            f'A quarter of the boxes are below {100 * statistics.box_share.quarter:.1f} % of the image in size: '
            f'{statistics.box_share.quarter * VOC_SIDE:.0f} pixels where the image has {VOC_SIDE}.'
        )
        if wanted > most:
            text += (
                f' They would have {MIN_CELLS} cells of {STRIDE} pixels only in images of {wanted:.0f} pixels, larger '
                'than these are: cut the images into tiles, or leave such objects out (iscrowd or ignore).'
            )
        reasons.append(text)
    return scale


def _short(value: float) -> float:
    """A distance with one decimal, or none where that is 0."""
    value = round(value, 1)
    return int(value) if value == int(value) else value


def _rounded(side: float) -> int:
    return max(10, 10 * round(side / 10))
