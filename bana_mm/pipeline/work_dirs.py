"""Figures of experiments, found in work directories."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bana_mm.structures import LabelRecipe
from bana_mm.utils.config import find_pseudo_labels, run_name
from bana_mm.utils.config.files import read_file
from bana_mm.utils.json_stream import JSONReader
from bana_mm.utils.record import read_json
from bana_mm.utils.result_tables import SIX, metric_name


@dataclass
class Found:
    """A file of scores.

    Args:
        path (Path): The file.
        run (str | None): Name of the run that it belongs to: the config's, with that of a preset behind it, see
            :func:`bana_mm.utils.config.run_name`; None if nothing says.
        images (int | None): How many images it is about; None if nothing says.
        scores (dict[str, float]): Of a test, or of one label map.
        labels (str | None): Name of the label map. Defaults to None, a test.
        recipe (dict | None): How the labels were made, or those that a tested model is trained on, if that is known.
            Defaults to None.
    """

    path: Path
    run: str | None
    images: int | None
    scores: Mapping[str, Any]
    labels: str | None = None
    recipe: Mapping[str, Any] | None = None


def score_files(work_dir: str | os.PathLike) -> list[Path]:
    """The scores of the tests in a work directory, as mmengine's logger writes them; not of one that was killed."""
    return [path for path in Path(work_dir).glob('test/*/*.json') if _is_of_test(path) and _is_whole(path)]


def read_scores(work_dir: str | os.PathLike) -> dict[str, float]:
    """The scores of the latest test in a work directory, by name; empty before any test."""
    files = score_files(work_dir)
    return read_json(max(files, key=lambda path: path.stat().st_mtime)) if files else {}


def find_scores(root: Path) -> list[Found]:
    """All scores below a folder, older files first.

    Tests are what mmengine writes, ``TIMESTAMP/TIMESTAMP.json`` beside the dumped config, in a folder of the run's name
    or in a folder inside it. Evaluations of labels are JSON files of ``tools/evaluate_labels.py`` beside a store's
    ``meta.json``, or else in a folder of the run's name.

    Args:
        root (Path): Folder of work directories.

    Raises:
        ValueError: If a file of scores is not valid JSON; the message names it.
    """
    files = sorted(root.rglob('*.json'), key=lambda path: path.stat().st_mtime)
    found: list[Found] = []
    for path in files:
        if _is_of_test(path):
            found += _test(path) if _is_whole(path) else []
        elif path.name != 'meta.json' and 'vis_data' not in path.parts and path.stat().st_size < 10**7:
            found += _labels(path)
    return found


def match(
    experiments: Mapping[str, Any], found: Sequence[Found]
) -> tuple[dict[tuple[str, str, str], tuple[float, Path]], list[str]]:
    """Find the figures of the tables' rows.

    The data set of a figure is known by its number of images. A table's subset counts for runs with its preset only. Of
    several files the newest counts.

    Args:
        experiments (Mapping): Content of ``experiments.yml``.
        found (Sequence[Found]): Scores, older ones first.

    Returns:
        tuple[dict, list[str]]: Value and file by config, data set and metric; and what was left out, a line each.
    """
    datasets = {number: name for name, number in experiments['Datasets'].items()}
    figures, left_out = {}, []
    for scores in found:
        dataset = datasets.get(scores.images)
        matched = (
            {
                (row['Config'], dataset, metric): value
                for table in experiments['Tables']
                for row in table['Rows']
                for metric, value in _figures(table, row, scores, dataset)
            }
            if dataset
            else {}
        )
        figures.update({key: (value, scores.path) for key, value in matched.items()})
        if not matched:
            left_out.append(f'{scores.path} ({scores.labels or "test"}): {_why(scores, dataset)}')
    return figures, left_out


def _why(scores: Found, dataset: str | None) -> str:
    if scores.run is None:
        return 'its folder does not have the name of its run'
    if dataset is None:
        return f'of {scores.run} on {scores.images or "an unknown number of"} images, which is none of the data sets'
    recipe = 'an unknown recipe' if scores.recipe is None else 'its recipe'
    return f'no row of the tables is about {scores.run} on {dataset} with labels of {recipe}'


def _figures(table: Mapping, row: Mapping, scores: Found, dataset: str) -> Iterator[tuple[str, float]]:
    """Metric and value of a row's figures among some scores, also for the column of the subset."""
    subset = table.get('Subset') or {}
    for figure in table['Figures']:
        run, keys = row['Config'], {'': figure.get('Score')}
        if dataset != figure['Dataset']:
            if dataset != subset.get('Dataset') or figure is not table['Figures'][0]:
                continue
            run, keys = f'{run}_{subset["Preset"]}', {'': 'mIoU', SIX: 'mIoU_chosen'}
        if _is_of(row, scores, run):
            for ending, key in keys.items():
                if scores.scores.get(key) is not None:
                    yield metric_name(figure, row) + ending, scores.scores[key] * figure.get('Scale', 1)


def _is_of(row: Mapping, scores: Found, run: str) -> bool:
    """Whether a file is about a row: run, label map and recipe."""
    if scores.run != run or scores.labels != row.get('Labels'):
        return False
    if 'Recipe' not in row:
        return True
    return scores.recipe is not None and _same_labels(row['Recipe'], scores.recipe)


def _same_labels(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether two recipes mean the same labels, but for rounding."""
    recipes = []
    for fields in (wanted, found):
        try:
            recipe = LabelRecipe.from_cfg(fields)
        except ValueError:  # of instances, or written by another version
            return False
        recipes.append(replace(recipe, amp=False, crf={**recipe.crf, 'backend': 'auto'}))
    return recipes[0] == recipes[1]


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(read_json(path), dict)
    except ValueError:  # a test was killed while mmengine wrote it, in place
        return False


def _is_of_test(path: Path) -> bool:
    return path.stem == path.parent.name  # TIMESTAMP/TIMESTAMP.json


def _test(path: Path) -> Iterator[Found]:
    scores, folder = read_json(path), path.parents[1]
    # A run in a folder of another name may have been any: such names are given to runs that override settings.
    dumped = (read_file(file) for file in sorted(folder.glob('*.py')))
    cfg = next((one for one in dumped if run_name(one) in (folder.name, folder.parent.name)), None)
    if cfg is None:
        yield Found(path, None, None, scores)
        return
    if cfg.model.type == 'bana_mm.LogitTTAModel' and 'mIoU_tta' not in scores:  # augmented views alone
        scores = {key.replace('mIoU', 'mIoU_tta'): value for key, value in scores.items()}
    yield Found(path, run_name(cfg), _num_images(cfg.test_dataloader.dataset), scores, recipe=_trained_on(folder, cfg))


def _trained_on(folder: Path, cfg: Config) -> Mapping[str, Any] | None:
    """The recipe of the labels behind a test: as the pipeline keeps it beside the model, or as the labels say now."""
    labels = find_pseudo_labels(cfg) or {}
    places = [folder / 'labels.json', folder.parent / 'labels.json']
    places += [Path(labels['dir'], 'meta.json')] if labels.get('dir') else []
    found = next((path for path in places if path.is_file()), None)
    return None if found is None else read_json(found).get('recipe')


def _num_images(dataset: Config) -> int | None:
    """How many images a data set of VOC's or COCO's form has, as far as its files are there."""
    ann_file = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if not ann_file.is_file():
        return None
    if ann_file.suffix == '.json':
        with JSONReader(ann_file) as reader:  # of COCO's size; the annotations are not read
            number = next(sum(1 for _ in reader.elements()) for name in reader.names() if name == 'images')
    else:
        number = len(ann_file.read_text(encoding='utf-8').split())
    indices = dataset.get('indices')
    return number if indices is None else indices if isinstance(indices, int) else len(indices)


def _labels(path: Path) -> Iterator[Found]:
    content = read_json(path)
    if not isinstance(content, dict):
        return
    meta = path.with_name('meta.json')
    made = read_json(meta) if meta.is_file() else {}
    run = Path(made.get('config') or path.parent.name).stem
    for split in content.get('splits', [content]):
        for name, scores in (split.get('rows') or {}).items():
            yield Found(path, run, split.get('images'), scores, name, made.get('recipe'))
