import json

import cv2
import numpy as np
import pytest
import torch

from bana_mm.evaluation.confusion import ConfusionMatrix
from bana_mm.evaluation.contours import ContourCounts
from bana_mm.evaluation.label_evaluation import LabelCounts
from bana_mm.labels.unaries import label_task
from bana_mm.search.map_cache import MapCache
from bana_mm.search.recipe_search import (
    ParallelEvaluation,
    RecipeTable,
    SearchImage,
    changed,
    coordinate_search,
    recipe_counts,
)
from bana_mm.structures import BoxLayout, LabelRecipe, write_label_png
from bana_mm.structures.activation_maps import activation_maps
from bana_mm.utils.worker_pool import WorkerPool

SIZE, BOX = (40, 56), (8, 6, 44, 34)


def figure(scores):
    """Counts of two classes with these IoU (each missed pixel is called background)."""
    confusion = LabelCounts(2)
    confusion.counts[1, 1], confusion.counts[1, 3] = round(scores * 100), 0
    confusion.counts[1, 0] = 100 - confusion.counts[1, 1]
    return confusion


def test_coordinate_search_finds_a_planted_optimum_that_needs_two_rounds():
    """The threshold 0.8 pays only once the score is 'mean', which is tried later."""

    def score(recipe):
        good = (recipe.score == 'mean') + (recipe.score == 'mean' and recipe.threshold == 0.8) * 2
        return good + (recipe.crf['gaussian'] == (1, 3)) + (recipe.crf['bilateral'] == (4, 30, 5)) - recipe.flip

    tried = []
    best = coordinate_search(
        score,
        dict(crf=dict(gaussian=(1, 3))),
        dict(
            threshold=[dict(threshold=0.7), dict(threshold=0.8), dict(threshold=None, threshold_mode='box')],
            score=[dict(score='attention'), dict(score='mean')],
            flip=[dict(flip=True)],
            crf=[dict(crf=dict(bilateral=(4, 30, 5)))],
        ),
        lambda *args: tried.append(args),
    )
    assert best == dict(crf=dict(gaussian=(1, 3), bilateral=(4, 30, 5)), score='mean', threshold=0.8)
    assert ('score', dict(score='mean'), 2) in tried
    assert all('box' not in change.values() for _, change, _ in tried)  # no such recipe, so it is passed over


def test_changes_of_the_crf_are_merged():
    fields = dict(score='mean', crf=dict(iterations=5))
    assert changed(fields, dict(score='cam', crf=dict(gaussian=(1, 1)))) == dict(
        score='cam', crf=dict(iterations=5, gaussian=(1, 1))
    )
    assert fields == dict(score='mean', crf=dict(iterations=5))


def test_table_evaluates_each_recipe_once_and_outlives_the_process(tmp_path):
    calls = []

    def evaluate(recipe):
        calls.append(recipe)
        return figure(recipe.threshold)

    def table():
        return RecipeTable(tmp_path / 'out' / 'recipes.csv', evaluate, ['cat', 'dog'], [1])

    a, b = LabelRecipe(threshold=0.25), LabelRecipe(threshold=0.5)
    first = table()
    assert first.score(a) == first.score(a) == 25 and len(calls) == 1
    assert first.figures(a)['cat'] == 25 and first.figures(a)['background'] == 0 and np.isnan(first.figures(a)['dog'])
    again = table()
    assert again.score(a) == 25 and len(calls) == 1
    assert again.score(b) == 50 and len(calls) == 2

    path = tmp_path / 'out' / 'recipes.csv'
    path.write_text(path.read_text().rstrip()[:-8])  # killed while writing
    assert table().score(a) == 25 and len(calls) == 2
    assert table().score(b) == 50 and len(calls) == 3
    with pytest.raises(ValueError, match=r'recipes.csv.*cow'):
        RecipeTable(path, evaluate, ['cat', 'cow'])


@pytest.fixture
def image(tmp_path):
    """A bright block in a box, with its mask; features that see the block and its surroundings."""
    pixels = np.full((*SIZE, 3), 40, dtype=np.uint8)
    ground_truth = np.zeros(SIZE, dtype=np.uint8)
    pixels[12:30, 16:38], ground_truth[12:30, 16:38] = 220, 1
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    write_label_png(tmp_path / 'ground_truth.png', ground_truth)
    layout = BoxLayout.from_boxes(SIZE, [BOX], [1])
    generator = torch.Generator().manual_seed(0)
    features = [dict(last=torch.rand(4, 5, 7, generator=generator))]
    return (
        SearchImage('a', str(tmp_path / 'a.png'), str(tmp_path / 'ground_truth.png'), layout),
        features,
        pixels,
        ground_truth,
    )


@pytest.mark.parametrize('workers', [0, 1])
def test_counts_are_those_of_the_labels(tmp_path, image, workers):
    search_image, features, pixels, ground_truth = image
    weight = torch.tensor([[0, 0, 0, 0.0], [1, 2, 0, 1], [0, 0, 1, 1]])
    cache = MapCache(tmp_path / 'maps', LabelRecipe())
    cache.write('a', features, search_image.layout, weight)
    recipe = LabelRecipe(background='none', crf=dict(backend='torch', iterations=3))
    maps = activation_maps(features, search_image.layout, weight, recipe)
    expected = ConfusionMatrix(2)
    expected.update(ground_truth, label_task(pixels, maps, search_image.layout, recipe).run())
    empty = SearchImage(
        'b',
        search_image.img_path,
        search_image.ground_truth_path,
        BoxLayout.from_boxes(SIZE, [], []),
    )
    expected.update(ground_truth, np.zeros_like(ground_truth))
    with WorkerPool(recipe_counts, workers) as pool:
        total = ParallelEvaluation([search_image, empty], cache, 2, pool)(recipe)
        also = ParallelEvaluation([search_image, empty], cache, 2, pool, contours=1.0)(recipe)
    assert np.abs(total.counts - expected.counts).sum() <= 4  # float16 maps may turn a pixel
    assert total.counts.sum() == 2 * ground_truth.size and total.contours is None
    assert (also.counts == total.counts).all()
    outline = ContourCounts(2, 1.0)
    outline.update(ground_truth, np.zeros_like(ground_truth))
    assert also.contours.counts[0, -1] == 2 * outline.counts[0, -1] > 0  # of the ground truth, of both images


def test_table_with_contours(tmp_path):
    def evaluate(recipe):
        counts = LabelCounts(2, contours=1.0)
        square = np.zeros((20, 20), dtype=np.uint8)
        square[7:13, 7:13] = 1
        counts.update(square, np.roll(square, 2, axis=1))
        return counts

    def table(contours):
        return RecipeTable(tmp_path / 'r.csv', evaluate, ['cat', 'dog'], [0, 1], contours)

    figures = table(True).figures(LabelRecipe())
    assert figures['contour_F_chosen'] == 58.3333 and figures['cat'] == round(100 * 24 / 48, 4)
    assert table(True).rows == {
        json.dumps(LabelRecipe().to_dict(), sort_keys=True): pytest.approx(figures, nan_ok=True)
    }
    with pytest.raises(ValueError, match='other columns'):
        table(False)


def test_recipes_are_told_apart_by_all_their_fields(tmp_path):
    table = RecipeTable(tmp_path / 'r.csv', lambda recipe: figure(0.5), ['cat', 'dog'])
    table.score(LabelRecipe())
    table.score(LabelRecipe(crf=dict(iterations=9)))
    lines = (tmp_path / 'r.csv').read_text().splitlines()
    assert len(lines) == 3
    assert {json.dumps(LabelRecipe().to_dict(), sort_keys=True), *table.rows} == set(table.rows)
