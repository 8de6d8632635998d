"""Instance masks made from boxes against true masks: COCO's average precision, and the IoU of each mask.

Average precision needs detections in an order, but labels have no scores. :func:`rank` says which order is used. As
every detection has the box and the class of its object, AP tells here how many masks pass each IoU threshold; the mean
IoU needs no order.
"""

import contextlib
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from bana_mm.utils.table import figure_cell, format_table, percent

from .instance_masks import LabelMasks, TrueMasks

SIZES = ('S', 'M', 'L')  # COCO's: up to 32^2, up to 96^2 pixels, and larger
RANKS = ('area', 'score')


def rank(ground_truth: TrueMasks, labels: LabelMasks, by: str = 'area') -> dict[int, int]:
    """The order of labels for average precision, the same on every machine.

    By 'area', labels with larger boxes come first; by 'score', those with a higher ``score``. Boxes of one area, or of
    one score and area, are ordered by annotation id.

    Args:
        ground_truth (TrueMasks): Their boxes are those of the labels.
        labels (LabelMasks): The labels to order.
        by (str): 'area' or 'score'. Defaults to 'area', which is the same for all labels of a data set.

    Returns:
        dict[int, int]: Position, from 0 on, by annotation id.

    Raises:
        ValueError: If ``by`` is something else, or a label has no score.
    """
    if by not in RANKS:
        raise ValueError(f'labels are ranked by {" or ".join(RANKS)}, got {by!r}')
    if by == 'score' and labels.scores.keys() != labels.masks.keys():
        raise ValueError(
            f'{len(labels.masks) - len(labels.scores)} of {len(labels.masks)} labels have no score; rank them by area'
        )

    def key(number: int) -> tuple[float, float, int]:
        width, height = ground_truth.annotations[number]['bbox'][2:]
        return (-labels.scores[number] if by == 'score' else 0.0, -width * height, number)

    return {number: position for position, number in enumerate(sorted(labels.masks, key=key))}


def evaluate_instances(ground_truth: TrueMasks, labels: LabelMasks, by: str = 'area') -> dict[str, Any]:
    """The figures of one set of labels.

    Crowds and ignored annotations are neither objects nor labels; sizes are those of the true masks.

    Args:
        ground_truth (TrueMasks): Images to evaluate on, and their true masks.
        labels (LabelMasks): Masks to judge; objects without one have IoU 0.
        by (str): Order of the labels, see :func:`rank`. Defaults to 'area'.

    Returns:
        dict: In percent, None where there is no such object: ``AP``, ``AP50``, ``AP75``, ``AP_S``, ``AP_M``, ``AP_L``
        by pycocotools; ``mIoU``, the mean over objects of the IoU of a label with the true mask of the same annotation,
        and ``mIoU_S``, ``mIoU_M``, ``mIoU_L``; for labels that mark unreliable pixels ``mIoU_reliable``, the same
        without these pixels, and ``unreliable``, their share of all box pixels. Beside it ``instances``, the number
        of objects, and ``without_mask``, how many of them have no or an empty label.
    """
    objects = ground_truth.objects()
    known = LabelMasks(
        *(
            {number: value for number, value in part.items() if number in objects}
            for part in (labels.masks, labels.unreliable, labels.scores)
        )
    )
    sizes = {number: _area(mask) for number, mask in known.masks.items()}
    result = _average_precision(ground_truth, known, sizes, by)

    overlap = {number: _overlap(known, number, annotation) for number, annotation in objects.items()}
    areas = np.array([annotation['area'] for annotation in objects.values()])
    iou = np.array([whole for whole, _ in overlap.values()])
    result['mIoU'] = _mean(iou)
    for name, (low, high) in zip(SIZES, ((0, 32**2), (32**2, 96**2), (96**2, np.inf))):
        result[f'mIoU_{name}'] = _mean(iou[(areas >= low) & (areas <= high)])  # inclusive, as in pycocotools
    if known.unreliable:
        boxes = sum(annotation['bbox'][2] * annotation['bbox'][3] for annotation in objects.values())
        reliable = np.array([part for _, part in overlap.values()])
        result['mIoU_reliable'] = _mean(reliable[~np.isnan(reliable)])
        result['unreliable'] = percent(sum(map(_area, known.unreliable.values())) / boxes) if boxes else None
    result.update(instances=len(objects), without_mask=sum(not sizes.get(number) for number in objects))
    return result


def instance_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of summaries that belong to the same true masks: a column each.

    Args:
        summaries (Mapping[str, Mapping]): Results of :func:`evaluate_instances` by name of the labels.

    Returns:
        str: The table.
    """
    titles = dict(
        mIoU='mean IoU',
        mIoU_reliable='mean IoU, reliable',
        unreliable='unreliable pixels, %',
        **{
            f'{name}_{size}': f'{title} {size}'
            for name, title in (('AP', 'AP'), ('mIoU', 'mean IoU'))
            for size in SIZES
        },
    )
    names = [
        name
        for name in dict.fromkeys(name for column in summaries.values() for name in column)
        if name not in ('instances', 'without_mask')
    ]
    lines = [
        [titles.get(name, name), *(figure_cell(column.get(name)) for column in summaries.values())] for name in names
    ]
    lines.append(['without mask', *(str(column['without_mask']) for column in summaries.values())])
    return format_table(['', *summaries], lines)


def _average_precision(
    ground_truth: TrueMasks, labels: LabelMasks, sizes: Mapping[int, int], by: str
) -> dict[str, float | None]:
    """COCO's figures. Classes do not know of each other in them, so that each has a run of its own: all at once would
    keep a record of each object in each range of sizes, for COCO's training set more than ten gigabytes.
    """
    names = ['AP', 'AP50', 'AP75', *(f'AP_{size}' for size in SIZES)]
    if not ground_truth.annotations:
        return dict.fromkeys(names)
    places = rank(ground_truth, labels, by)
    by_class: dict[int, list[int]] = defaultdict(list)
    for number, annotation in ground_truth.annotations.items():
        by_class[annotation['category_id']].append(number)
    counts = Counter(
        (ground_truth.annotations[n]['image_id'], ground_truth.annotations[n]['category_id']) for n in places
    )
    most = max(counts.values(), default=1)  # no image has too many objects
    precision = np.concatenate(
        [_precision(ground_truth, labels, numbers, places, sizes, most) for numbers in by_class.values()], axis=2
    )
    thresholds = np.round(100 * Params(iouType='segm').iouThrs).tolist()
    parts = [
        precision[..., 0],
        precision[thresholds.index(50), ..., 0],
        precision[thresholds.index(75), ..., 0],
        *(precision[..., 1 + size] for size in range(len(SIZES))),
    ]
    return {name: _mean(part[part > -1]) for name, part in zip(names, parts)}


def _precision(
    ground_truth: TrueMasks,
    labels: LabelMasks,
    numbers: Sequence[int],
    places: Mapping[int, int],
    sizes: Mapping[int, int],
    most: int,
) -> np.ndarray:
    """Precision in one class: (thresholds, recalls, 1, sizes: all, S, M, L), -1 where there is no object."""
    # Numbered from 1: pycocotools takes an annotation with id 0 for none. Copies, for it writes into them.
    true = [dict(ground_truth.annotations[number], id=position) for position, number in enumerate(numbers, 1)]
    found = [
        dict(
            id=places[number] + 1,
            image_id=ground_truth.annotations[number]['image_id'],
            score=1 - places[number] / len(places),
            category_id=ground_truth.annotations[number]['category_id'],
            segmentation=labels.masks[number],
            area=sizes[number],
            iscrowd=0,
        )
        for number in numbers
        if number in places
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*(_coco(ground_truth, true, one) for one in (true, found)), iouType='segm')
        evaluation.params.maxDets = [most]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval['precision'][..., 0]


def _coco(ground_truth: TrueMasks, true: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> COCO:
    """Annotations of one class, on the images that have any."""
    coco = COCO()
    coco.dataset = dict(
        images=[ground_truth.images[number] for number in dict.fromkeys(one['image_id'] for one in true)],
        categories=[one for one in ground_truth.categories if one['id'] == true[0]['category_id']],
        annotations=annotations,
    )
    coco.createIndex()
    return coco


def _overlap(labels: LabelMasks, number: int, annotation: Mapping[str, Any]) -> tuple[float, float]:
    """IoU of a label with the ground truth, and without the unreliable pixels (NaN where there are no others)."""
    mask, true = labels.masks.get(number), annotation['segmentation']
    if mask is None:
        return 0.0, 0.0
    both, either = mask_api.merge([mask, true], intersect=True), mask_api.merge([mask, true])
    shares = [(_area(both), _area(either))]
    unreliable = labels.unreliable.get(number)
    outside = (
        [0, 0]
        if unreliable is None
        else [_area(mask_api.merge([part, unreliable], intersect=True)) for part in (both, either)]
    )
    shares.append((shares[0][0] - outside[0], shares[0][1] - outside[1]))
    whole, reliable = (part / total if total else np.nan for part, total in shares)
    return (0.0 if np.isnan(whole) else whole), reliable


def _area(mask: Mapping[str, Any]) -> int:
    return int(mask_api.area(mask))


def _mean(values: np.ndarray) -> float | None:
    return percent(values.mean()) if values.size else None
