"""Label recipes compared on images with masks, from maps that the network has made once."""

import csv
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.evaluation.label_evaluation import LabelCounts
from bana_mm.labels.item import read_rgb
from bana_mm.labels.unaries import label_task
from bana_mm.search.map_cache import MapCache
from bana_mm.structures import BoxLayout, LabelRecipe, read_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.worker_pool import WorkerPool

_FIGURE = re.compile(r'-?\d+\.\d{4}|nan')


@dataclass
class SearchImage:
    """An image of the search.

    Args:
        img_id (str): Its id.
        img_path (str): Image file.
        ground_truth_path (str): Mask file.
        layout (BoxLayout): Its boxes.
    """

    img_id: str
    img_path: str
    ground_truth_path: str
    layout: BoxLayout


def recipe_counts(
    image: SearchImage, cache: MapCache, recipe: LabelRecipe, num_classes: int, contours: float | None = None
) -> list[np.ndarray]:
    """Counts of Y_crf against the mask for one image, the parts of :class:`LabelCounts`. Runs in any process."""
    ground_truth = read_label_png(image.ground_truth_path, num_classes=num_classes)
    maps = cache.read(image.img_id, image.layout, recipe) if len(image.layout.classes) > 1 else None
    task = label_task(read_rgb(image.img_path), maps, image.layout, recipe)
    counts = LabelCounts(num_classes, contours=contours)
    counts.update(ground_truth, task.run())
    return counts.parts()


class RecipeTable:
    """The results of recipes in a CSV file that is whole at any time; each recipe is evaluated once.

    Args:
        path (str | Path): The file.
        evaluate (Callable): LabelRecipe -> LabelCounts.
        class_names (Sequence[str]): Object classes 1..L.
        chosen (Sequence[int]): Class indices of the mean that counts; none for all that occur.
        contours (bool): Whether the counts have contours, whose F-measure then is a figure too. Defaults to False.

    Raises:
        ValueError: If the file has other columns.
    """

    def __init__(
        self,
        path: str | Path,
        evaluate: Callable[[LabelRecipe], LabelCounts],
        class_names: Sequence[str],
        chosen: Sequence[int] = (),
        contours: bool = False,
    ) -> None:
        self.path = Path(path)
        self.evaluate = evaluate
        self.class_names = ['background', *class_names]
        self.chosen = list(chosen)
        means = ['mIoU', 'mIoU_chosen', *(['contour_F', 'contour_F_chosen'] if contours else [])]
        self.header = ['recipe', *means, *self.class_names]
        self.rows: dict[str, dict[str, float]] = {}
        if self.path.exists():
            with open(self.path, newline='') as file:
                reader = csv.reader(file)
                if next(reader, None) != self.header:
                    raise ValueError(
                        f'{self.path}: has other columns than {", ".join(self.header)}; it belongs to '
                        'another search, move it away'
                    )
                for recipe, *values in reader:
                    # earlier versions appended lines, of which a killed process left the last one cut off
                    if len(values) == len(self.header) - 1 and all(map(_FIGURE.fullmatch, values)):
                        self.rows[recipe] = {name: float(v) for name, v in zip(self.header[1:], values)}

    def score(self, recipe: LabelRecipe) -> float:
        """Mean IoU of the chosen classes in percent."""
        return self.figures(recipe)['mIoU_chosen']

    def figures(self, recipe: LabelRecipe) -> dict[str, float]:
        """All figures of a recipe in percent; IoU by class, NaN for classes that don't occur."""
        key = json.dumps(recipe.to_dict(), sort_keys=True)
        if key not in self.rows:
            counts = self.evaluate(recipe)
            values = [counts.mean_iou(), counts.mean_iou(self.chosen or None)]
            if counts.contours is not None:
                values += [counts.contours.mean_f(), counts.contours.mean_f(self.chosen or None)]
            values += [*counts.iou()]
            self.rows[key] = {name: round(100 * float(v), 4) for name, v in zip(self.header[1:], values)}
            self._write()
        return self.rows[key]

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial, open(partial, 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(self.header)
            for recipe, figures in self.rows.items():
                writer.writerow([recipe, *(f'{value:.4f}' for value in figures.values())])


def coordinate_search(
    score: Callable[[LabelRecipe], float],
    start: Mapping[str, Any],
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
    report: Callable[[str, Mapping[str, Any], float], None] = lambda *_: None,
) -> dict[str, Any]:
    """Vary one part of a recipe after the other and keep what is best, until no change helps.

    Args:
        score (Callable): LabelRecipe -> figure, the larger the better.
        start (Mapping): Fields of the recipe to begin with.
        parts (Mapping): For each part its alternatives, each a mapping of fields to change; ``crf`` is merged.
        report (Callable): Called with part, alternative and score. Defaults to doing nothing.

    Returns:
        dict: Fields of the best recipe.
    """
    best = dict(start)
    best_score = score(LabelRecipe.from_cfg(best))
    improved = True
    while improved:
        improved = False
        for part, alternatives in parts.items():
            for change in alternatives:
                candidate = changed(best, change)
                try:
                    recipe = LabelRecipe.from_cfg(candidate)
                except ValueError:
                    continue  # fields that exclude each other
                value = score(recipe)
                report(part, change, value)
                if value > best_score:
                    best, best_score, improved = candidate, value, True
    return best


def changed(fields: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe with some changed, those of ``crf`` one by one."""
    result = {**fields, **change}
    if 'crf' in change:
        result['crf'] = {**fields.get('crf', {}), **change['crf']}
    return result


class ParallelEvaluation:
    """Evaluates recipes over all images in worker processes that stay for the whole search.

    Args:
        images (Sequence[SearchImage]): The images.
        cache (MapCache): Their maps.
        num_classes (int): Number L of object classes.
        pool (WorkerPool): Running :func:`recipe_counts`.
        contours (float | None): Tolerance at which contours are compared as well. Defaults to None, not at all.
    """

    def __init__(
        self,
        images: Sequence[SearchImage],
        cache: MapCache,
        num_classes: int,
        pool: WorkerPool,
        contours: float | None = None,
    ) -> None:
        self.images = images
        self.cache = cache
        self.num_classes = num_classes
        self.pool = pool
        self.contours = contours

    def __call__(self, recipe: LabelRecipe) -> LabelCounts:
        rest = (self.cache, recipe, self.num_classes, self.contours)
        jobs = ((image.img_path, (image, *rest), None) for image in self.images)
        total = LabelCounts(self.num_classes, contours=self.contours)
        for _, _, parts in self.pool.map(jobs):
            total.add(parts)
        total.require_objects(os.path.dirname(self.images[0].ground_truth_path))
        return total
