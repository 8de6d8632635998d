"""Run every row of the paper's tables, one after the other, and put the figures into the tables of configs/bana.

The rows are those of configs/bana/experiments.yml. What rows share is made once: a classifier, the labels of a recipe.
What is done is skipped, so that the same command goes on where it was stopped. Several GPUs can share the work, with
one command each: run --tables 1 (or 2) first, then for instance `CUDA_VISIBLE_DEVICES=1 ... --tables 5`.

  scripts/reproduce.sh voc --dry-run     the commands, with hours on one GPU and disk space for each row
  scripts/reproduce.sh voc               Tables 1 and 3 to 5; VOC_ROOT, VGG16_WEIGHTS, DEEPLABV2_COCO_WEIGHTS
  scripts/reproduce.sh coco              Tables 2 and 6; COCO_ROOT and, for VOC-to-COCO, VOC_ROOT
"""

import argparse
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bana_mm.datasets.voc_files import read_ids
from bana_mm.structures import LabelRecipe, LabelStore
from bana_mm.utils.config import LIST_FOLDER, inner_dataset, read_config
from bana_mm.utils.label_origin import final_checkpoint
from bana_mm.utils.resources import resource_root
from bana_mm.utils.result_tables import read_experiments, recipe_text
from bana_mm.utils.run_options import RunOptions, add_run_options

from .stages import evaluate_step, instance_step, is_newer, label_step, test_step, train_step
from .step import Step, ended_by_signals

SPLITS = ('train_aug', 'val')
DATA = dict(voc='PASCAL VOC', coco='COCO')  # how the names of their data sets begin
WORK_DIRS = 'work_dirs'


@dataclass
class Row:
    """A row of a table and what it needs beyond the rows before it.

    Args:
        title (str): Table, method and recipe.
        steps (list[Step]): In order; none where other rows need the same.
        costs (list[Mapping]): ``Hours``, ``GB`` and ``From`` of these steps, as in ``experiments.yml``.
    """

    title: str
    steps: list[Step]
    costs: list[Mapping[str, Any]]

    def __str__(self) -> str:
        if not self.steps:
            return f'{self.title}: nothing more'
        sources = '; '.join(dict.fromkeys(cost['From'] for cost in self.costs))
        return f'{self.title}: {total(self.costs, "Hours"):g} h, {total(self.costs, "GB"):g} GB ({sources})'


def total(costs: Sequence[Mapping[str, Any]], name: str) -> float:
    """Sum of hours or gigabytes."""
    return round(sum(cost[name] for cost in costs), 1)


class Reproduction:
    """The rows of the tables as steps.

    Args:
        data (str): 'voc' or 'coco': which tables.
        tables (Sequence[int]): Numbers of the tables. Defaults to none, all on this data.
        options (RunOptions | None): For the making of labels. Defaults to None, the tools' defaults.
        amp (bool): Train in mixed precision. Defaults to False.
        siblings (bool): Also run the rows' siblings, of our recipe. Defaults to True.

    Raises:
        ValueError: If a table is not on this data.
    """

    def __init__(
        self,
        data: str,
        tables: Sequence[int] = (),
        options: RunOptions | None = None,
        amp: bool = False,
        siblings: bool = True,
    ) -> None:
        self.folder = resource_root() / 'configs' / 'bana'
        self.experiments = read_experiments(
            self.folder / 'experiments.yml', (path.stem for path in self.folder.glob('*.py'))
        )
        found = {
            int(re.match(r'Table (\d+)', table['Title'])[1]): table
            for table in self.experiments['Tables']
            if table['Figures'][0]['Dataset'].startswith(DATA[data])
        }
        unknown = sorted(set(tables) - set(found))
        if unknown:
            raise ValueError(f'table {unknown[0]} is not on {data}, which has tables {", ".join(map(str, found))}')
        self.tables = {number: table for number, table in found.items() if not tables or number in tables}
        self.options = options or RunOptions()
        self.amp = amp
        self.siblings = siblings
        self._configs: dict[str, Config] = {}

    @cached_property
    def rows(self) -> list[Row]:
        """All rows in order."""
        rows, known = [], set()
        kinds = dict(maps=self._maps, masks=self._masks, trainings=self._training)
        for number, table in self.tables.items():
            for row in table['Rows']:
                if not self.siblings and row.get('Recipe', {}).get('recipe') == table.get('Sibling', ...):
                    continue
                made = [
                    (step, cost) for step, cost in kinds[table['Kind']](row, table) if tuple(step.command) not in known
                ]
                known.update(tuple(step.command) for step, _ in made)
                title = ', '.join(filter(None, (f'Table {number}: {row["Method"]}', recipe_text(row))))
                costs = [self.experiments['Costs'][cost] for _, cost in made if cost is not None]
                rows.append(Row(title, [step for step, _ in made], costs))
        return rows

    def tables_step(self) -> Step:
        """Renew the tables of configs/bana and its metafile."""
        start, readme = time.time(), self.folder / 'README.md'
        command = ['analysis/results_table.py', '--work-dirs', WORK_DIRS, '--write']
        return Step('tables', command, lambda: readme.stat().st_mtime >= start)

    def _config(self, name: str) -> Config:
        if name not in self._configs:
            self._configs[name] = read_config(f'configs/bana/{name}.py')
        return self._configs[name]

    def _classifier(self, name: str) -> tuple[Config, Path, tuple[Step, str]]:
        """A classifier's config, its final checkpoint and its training."""
        cfg = self._config(name)
        step = train_step(f'training of {name}', cfg, cfg.work_dir, amp=self.amp)
        return cfg, final_checkpoint(cfg, cfg.work_dir), (step, name)

    def _maps(self, row: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[tuple[Step, str | None]]:
        """Labels of both splits, and their comparison with the masks."""
        if 'Recipe' not in row:
            yield from self._source(row['Config'], row['Labels'])
            return
        cfg, checkpoint, training = self._classifier(row['Config'])
        yield training
        folder, cost = label_folder(cfg, row['Recipe']), 'maps'
        overrides = [f'model.label_recipe.{key}={value}' for key, value in row['Recipe'].items()]
        root = data_root(cfg)
        for split in SPLITS:
            title = f'labels of {split}, {folder}'
            step = label_step(title, cfg, checkpoint, folder, split, ids_of(root, split), self.options, overrides)
            yield step, cost
            cost = None  # of both
        for split in SPLITS:
            title = f'evaluation of {split}, {folder}'
            yield evaluate_step(title, folder, root / 'SegmentationClassAug', root, split, sources=()), None

    def _source(self, config: str, source: str) -> Iterator[tuple[Step, str | None]]:
        """The same for labels that need no network."""
        cfg, cost = self._config(config), source
        root, folder = data_root(cfg), Path(cfg.work_dir) / source
        store = LabelStore(folder, (source,))
        for split in SPLITS:
            ids = ids_of(root, split)
            command = ['generate_labels.py', '--source', source, '--voc-root', str(root), '--split', split]
            command += ['--out-dir', str(folder), *self.options.arguments()]
            is_done = lambda ids=ids: (store.root / 'meta.json').is_file() and not store.missing(ids)  # noqa: E731
            yield Step(f'labels of {split}, {source}', command, is_done), cost
            cost = None
        for split in SPLITS:
            result = folder.with_name(f'{source}_{split}.json')  # in the folder of the config that the row names
            command = ['evaluate_labels.py', str(folder), '--voc-root', str(root), '--split', split]
            is_done = lambda result=result: is_newer(result, [store.root / 'meta.json'])  # noqa: E731
            yield Step(f'evaluation of {split}, {source}', [*command, '--json', str(result)], is_done), None

    def _masks(self, row: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[tuple[Step, str | None]]:
        """Masks of instances, and their comparison with the true ones."""
        cfg, checkpoint, training = self._classifier(row['Config'])
        yield training
        boxes = Path(os.environ.get('COCO_ROOT', 'data/coco'), 'annotations/instances_train2017.json')
        out = Path(cfg.work_dir) / f'{row["Labels"]}.json'
        overrides = [f'{key}={value}' for key, value in row.get('Options', {}).items()]
        step = instance_step(f'masks, {out}', cfg, checkpoint, boxes, out, None, self.options, overrides)
        if 'Source' in row:
            step.command = [*step.command[:3], '--source', row['Source'], *step.command[3:]]
        yield step, 'masks'
        result = out.with_name(f'{out.stem}_ap.json')
        command = ['evaluate_labels.py', '--coco', str(out), '--gt', str(boxes), '--json', str(result)]
        yield Step(f'evaluation, {out}', command, lambda: is_newer(result, [out])), None

    def _training(self, row: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[tuple[Step, str | None]]:
        """All stages of a config, of which those before the training are mostly done by then."""
        name, recipe = row['Config'], row.get('Recipe', {}).get('recipe')
        work_dir = Path(WORK_DIRS, name)
        command = ['pipeline.py', f'configs/bana/{name}.py']
        if recipe not in (None, table.get('Sibling')):  # else as the configs have it
            command += ['--recipe', recipe]
            work_dir = Path(WORK_DIRS, recipe, name)
        all_scores = any(figure.get('Score') == 'mIoU_tta_crf' for figure in table['Figures'])
        command += ['--all'] * all_scores + ['--amp'] * self.amp + self.options.arguments()
        if 'Options' in row:
            command += ['--cfg-options', *(f'{key}={value}' for key, value in row['Options'].items())]

        def is_done() -> bool:
            cfg = self._config(name)
            return test_step('', cfg, work_dir, all_scores=all_scores).is_done() and (
                final_checkpoint(cfg, work_dir).is_file()
            )

        cost = next(cost for cost in self.experiments['Costs'] if name.startswith(cost))
        yield Step(f'all stages of {name}', command, is_done), cost


def label_folder(cfg: Config, recipe: Mapping[str, Any]) -> str:
    """Where the labels of a recipe lie: in the folder that the configs name if it is the classifier's own.

    Args:
        cfg (Config): The classifier's config.
        recipe (Mapping): The recipe's name and changes of it.
    """
    own = dict(cfg.model.label_recipe)
    is_own = LabelRecipe.from_cfg({**own, **recipe}) == LabelRecipe.from_cfg(own)
    return '_'.join([f'{cfg.work_dir}/labels', *([] if is_own else map(str, recipe.values()))])


def data_root(cfg: Config) -> Path:
    """Root of the data set that a config is tested on."""
    return Path(inner_dataset(cfg.test_dataloader.dataset)['data_root'])


def ids_of(root: Path, split: str) -> Sequence[str]:
    """Images of a split; none where the list is not there, as when commands are only shown."""
    path = root / LIST_FOLDER / f'{split}.txt'
    return read_ids(path) if path.is_file() else ()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', choices=tuple(DATA))
    parser.add_argument('--tables', type=int, nargs='+', default=(), metavar='NUMBER', help='only these tables')
    parser.add_argument('--paper-only', action='store_true', help='leave out the rows of our recipe, bana_mm')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--dry-run', action='store_true', help='only print the commands')
    add_run_options(parser.add_argument_group('making the labels'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run = Reproduction(args.data, args.tables, RunOptions.from_args(args), args.amp, not args.paper_only)
    with ended_by_signals():
        for row in run.rows:
            print(f'# {row}', flush=True)
            for step in row.steps:
                if args.dry_run:
                    print(step.line)
                else:
                    step.run()
        step = run.tables_step()
        if args.dry_run:
            costs = [cost for row in run.rows for cost in row.costs]
            print(f'# all of it: {total(costs, "Hours"):g} h, {total(costs, "GB"):g} GB\n{step.line}')
        else:
            step.run()


if __name__ == '__main__':
    main()
