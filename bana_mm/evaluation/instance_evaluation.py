"""Instance masks made from boxes against true masks: COCO's average precision, and the IoU of each mask.

Average precision needs detections in an order, but labels have no scores. :func:`rank` says which order is used. As
every detection has the box and the class of its object, AP tells here how many masks pass each IoU threshold; the mean
IoU needs no order.
"""

import contextlib
import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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
    places = rank(ground_truth, labels, by)
    # Numbered from 1: pycocotools takes an annotation with id 0 for none. Copies, for it writes into them.
    true = [dict(annotation, id=number) for number, annotation in enumerate(ground_truth.annotations.values(), 1)]
    found = [
        dict(
            id=place + 1,
            image_id=ground_truth.annotations[number]['image_id'],
            score=1 - place / len(places),
            category_id=ground_truth.annotations[number]['category_id'],
            segmentation=labels.masks[number],
            area=sizes[number],
            iscrowd=0,
        )
        for number, place in places.items()
    ]
    per_class = Counter((one['image_id'], one['category_id']) for one in found)
    names = ['AP', 'AP50', 'AP75', *(f'AP_{size}' for size in SIZES)]
    if not true:
        return dict.fromkeys(names)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*(_coco(ground_truth, annotations) for annotations in (true, found)), iouType='segm')
        evaluation.params.maxDets = [max(per_class.values(), default=1)]  # no image has too many objects
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][..., 0]  # thresholds, recalls, classes, sizes (all, S, M, L)
    thresholds = np.round(100 * evaluation.params.iouThrs).tolist()
    parts = [
        precision[..., 0],
        precision[thresholds.index(50), ..., 0],
        precision[thresholds.index(75), ..., 0],
        *(precision[..., 1 + size] for size in range(len(SIZES))),
    ]
    return {name: _mean(part[part > -1]) for name, part in zip(names, parts)}


def _coco(ground_truth: TrueMasks, annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = dict(
        images=list(ground_truth.images.values()), categories=ground_truth.categories, annotations=annotations
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
