"""Whether judged masks are to be trusted as far as they say: their scores and unreliable pixels against true masks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bana_mm.functional.mask_trust import mask_iou
from bana_mm.labels import LabelItems, MemorySink, TrustedSource
from bana_mm.labels.runner import label_images
from bana_mm.labels.trust import MEASURES, MaskEvidence, TrustedMask
from bana_mm.structures import IGNORE, decode_mask, read_label_png
from bana_mm.utils.run_options import RunOptions

from .instance_masks import TrueMasks

SIGNS = dict(jitter=1, extent=1, fill_gap=-1, agreement=1, doubts=1)  # which way each measure speaks for a mask
CAUSES = ('jitter', 'rest', 'all')


@dataclass
class JudgedCase:
    """A judged mask against the true one.

    Args:
        class_index (int): Class of the box, 1..L.
        iou (float): IoU with the true mask, on the pixels of the box of which the ground truth says something.
        score (float): The score of the mask.
        evidence (MaskEvidence): What it was made of.
        true_fill (float): Share of the box that the true mask has.
        pixels (dict[str, list[int]]): By cause of the doubt ('jitter' for pixels that flip when the box moves, 'rest'
            for the other ones, 'all'): wrong pixels that are unreliable, right ones that are, and wrong ones that are
            not.
        known (int): Pixels of the box of which the ground truth says something.
    """

    class_index: int
    iou: float
    score: float
    evidence: MaskEvidence
    true_fill: float
    pixels: dict[str, list[int]]
    known: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


def judge_source(
    source: TrustedSource, items: LabelItems, ground_truth: TrueMasks | None = None, options: RunOptions | None = None
) -> list[JudgedCase]:
    """Compare the masks that a source makes of some images with the true ones.

    Args:
        source (TrustedSource): The source.
        items (LabelItems): Images and boxes; of those that come from no COCO file, with label maps.
        ground_truth (TrueMasks | None): True masks of the instances of a COCO file. Defaults to None: the pixels of its
            class in the image's label map are the true mask of a box, which is left out if another box of that class,
            or an ignored one, overlaps with it.
        options (RunOptions | None): Processes and batch size. Defaults to None, none and 1.

    Returns:
        list[JudgedCase]: One a box that has a true mask of at least one pixel.

    Raises:
        RuntimeError: If an image fails; the message names it.
    """
    sink = MemorySink(len(items), 'masks')
    source.bind(items.classes, items.category_ids)
    label_images(source, items, sink, options or RunOptions(), range(len(items)))
    cases = []
    for index in range(len(items)):
        layout = items[index].layout
        true = _of_map(items, index) if ground_truth is None else _of_instances(items, index, ground_truth)
        for one, pair, class_index in zip(sink.answers[index], true, layout.box_classes, strict=True):
            if pair is not None and pair[0].any():
                cases.append(judge_case(one, *pair, class_index))
    return cases


def judge_case(one: TrustedMask, true: np.ndarray, known: np.ndarray, class_index: int = 1) -> JudgedCase:
    """Compare a mask with the true one.

    Args:
        one (TrustedMask): The mask.
        true (np.ndarray): (h, w) bool, the true mask on the pixels of the box.
        known (np.ndarray): (h, w) bool, where the ground truth says something.
        class_index (int): Class of the box. Defaults to 1.
    """
    wrong = (one.mask != true) & known
    doubted = dict(jitter=one.flipped, rest=one.unreliable & ~one.flipped, all=one.unreliable)
    pixels = {
        cause: [int(part.sum()) for part in (where & wrong, where & ~wrong & known, wrong & ~where)]
        for cause, where in doubted.items()
    }
    iou = mask_iou(one.mask & known, true & known)
    return JudgedCase(class_index, iou, one.score, one.evidence, float(true.mean()), pixels, int(known.sum()))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's: the correlation of the ranks, equal values having the mean of theirs; NaN where one is constant.

    Args:
        first (Sequence[float]): Numbers.
        second (Sequence[float]): As many.
    """
    ranks = [_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    if len(ranks[0]) < 2 or any(np.ptp(one) == 0 for one in ranks):
        return float('nan')
    return float(np.corrcoef(*ranks)[0, 1])


def summarise(cases: Sequence[JudgedCase]) -> dict[str, Any]:
    """Figures of judged masks.

    Args:
        cases (Sequence[JudgedCase]): At least one.

    Returns:
        dict: ``masks``; ``iou``, ``better_half`` and ``worse_half``, mean IoU of all and of the halves by score;
        ``score``, its mean, and ``error``, its mean distance from the IoU; ``correlation``, Spearman's of score and
        IoU, and ``correlations`` of each measure that is known, with masks that lack it left out; ``wrong``, the share
        of wrong pixels; and by cause ``share`` of unreliable pixels, their ``precision`` (how many of them are wrong)
        and ``recall`` (how many wrong ones they are).
    """
    iou, score = (np.array([getattr(one, name) for one in cases]) for name in ('iou', 'score'))
    order = np.argsort(-score, kind='stable')
    half = (len(cases) + 1) // 2
    counts = {cause: np.sum([one.pixels[cause] for one in cases], axis=0) for cause in CAUSES}
    known = sum(one.known for one in cases)
    values = {name: _values(cases, name) for name in MEASURES}
    return dict(
        masks=len(cases),
        iou=float(iou.mean()),
        better_half=float(iou[order[:half]].mean()),
        worse_half=float(iou[order[half:]].mean()) if len(cases) > 1 else float('nan'),
        score=float(score.mean()),
        error=float(np.abs(score - iou).mean()),
        correlation=rank_correlation(score, iou),
        correlations={
            name: rank_correlation(SIGNS[name] * found[~np.isnan(found)], iou[~np.isnan(found)])
            for name, found in values.items()
            if not np.isnan(found).all()
        },
        wrong=float(counts['all'][0] + counts['all'][2]) / known,
        unreliable={
            cause: dict(
                share=_ratio(hit + false, known), precision=_ratio(hit, hit + false), recall=_ratio(hit, hit + missed)
            )
            for cause, (hit, false, missed) in counts.items()
        },
    )


def fit_rule(cases: Sequence[JudgedCase], ridge: float = 1.0) -> dict[str, Any]:
    """Bias, weights and usual values with which the score is nearest to the IoU.

    Logistic regression on the IoU itself, so that the mean score is the mean IoU; with a little shrinking, and without
    measures that would count the wrong way.

    Args:
        cases (Sequence[JudgedCase]): Judged masks of any sources.
        ridge (float): Weight of the squared weights, of measures scaled to a standard deviation of 1, against the sum
            of the losses. Defaults to 1.0.

    Returns:
        dict: Fields of :class:`bana_mm.labels.trust.TrustRule`: ``usual_fill``, the mean share of the true masks;
        ``bias``, ``weights`` and ``usual``, of the measures that the cases have.
    """
    iou = np.array([one.iou for one in cases])
    usual_fill = float(np.mean([one.true_fill for one in cases]))
    values = {name: _values(cases, name) for name in MEASURES}
    values['fill_gap'] = np.abs(np.array([one.evidence.fill for one in cases]) - usual_fill)
    known = {name: found[~np.isnan(found)] for name, found in values.items()}
    usual = {name: float(found.mean()) for name, found in known.items() if len(found) and found.std() > 0}
    deviation = {name: float(known[name].std()) for name in usual}
    names = list(usual)
    while True:
        columns = [np.nan_to_num((values[name] - usual[name]) / deviation[name]) for name in names]
        solution = _logistic(np.stack([np.ones(len(cases)), *columns], axis=1), iou, ridge)
        wrong_way = [name for name, weight in zip(names, solution[1:]) if SIGNS[name] * weight < 0]
        if not wrong_way:
            break
        names.remove(max(wrong_way, key=lambda name: abs(solution[1 + names.index(name)])))
    weights = dict.fromkeys(usual, 0.0)
    weights.update({name: float(weight / deviation[name]) for name, weight in zip(names, solution[1:])})
    return dict(usual_fill=usual_fill, bias=float(solution[0]), weights=weights, usual=usual)


def _logistic(columns: np.ndarray, target: np.ndarray, ridge: float, steps: int = 50) -> np.ndarray:
    """Newton's method; the first column is the bias, which is not shrunk."""
    shrink = np.diag([0.0, *[ridge] * (columns.shape[1] - 1)])
    solution = np.zeros(columns.shape[1])
    for _ in range(steps):
        guess = 1 / (1 + np.exp(-columns @ solution))
        slope = columns.T @ (guess - target) + shrink @ solution
        curvature = (columns * (guess * (1 - guess))[:, None]).T @ columns + shrink
        solution -= np.linalg.solve(curvature + 1e-9 * np.eye(len(solution)), slope)
    return solution


def _values(cases: Sequence[JudgedCase], name: str) -> np.ndarray:
    """A measure of all cases, NaN where it is not known."""
    return np.array([np.nan if (value := getattr(one.evidence, name)) is None else value for one in cases], dtype=float)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[where]


def _ratio(part: float, total: float) -> float:
    return float(part / total) if total else float('nan')


Pair = tuple[np.ndarray, np.ndarray] | None  # true mask and where it is known, on the pixels of a box


def _of_map(items: LabelItems, index: int) -> list[Pair]:
    layout, path = items[index].layout, items.dataset.get_data_info(index)['seg_map_path']
    label = read_label_png(path, layout.size, len(items.classes))
    boxes, classes = layout.boxes.tolist(), layout.box_classes
    others = [*zip(boxes, classes), *((box, None) for box in layout.ignored.tolist())]
    pairs: list[Pair] = []
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        alone = not any(
            _overlap((x1, y1, x2, y2), box)
            for j, (box, name) in enumerate(others)
            if j != k and name in (classes[k], None)
        )
        inside = label[y1:y2, x1:x2]
        pairs.append((inside == classes[k], inside != IGNORE) if alone else None)
    return pairs


def _of_instances(items: LabelItems, index: int, ground_truth: TrueMasks) -> list[Pair]:
    layout, objects = items[index].layout, ground_truth.objects()
    instances: list[Mapping[str, Any]] = items.dataset.get_data_info(index)['instances']
    kept = [one for one in instances if not one['ignore_flag']]
    pairs: list[Pair] = []
    for instance, (x1, y1, x2, y2) in zip(kept, layout.boxes.tolist(), strict=True):
        true = objects.get(instance['ann_id'])
        if true is None:
            pairs.append(None)
            continue
        mask = decode_mask(true['segmentation'], layout.size)[y1:y2, x1:x2]
        pairs.append((mask, np.ones_like(mask)))
    return pairs


def _overlap(first: Sequence[int], second: Sequence[int]) -> bool:
    return min(first[2], second[2]) > max(first[0], second[0]) and min(first[3], second[3]) > max(first[1], second[1])
