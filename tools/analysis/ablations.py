"""Does each idea help? Train the rows of a plan with several seeds, and compare what shares a seed.

Each seed draws images of its own, trains each classifier once, makes each kind of labels once, and trains every row of
stage 3 on them. Writes OUT_DIR/ablations.json (all figures), .txt (the tables: mean, standard deviation, and the mean
difference to another row with the same seed and its standard error) and .png (every seed a point). Seed after seed is
run in the order of the plan's tables; what is done is skipped, and killed runs go on from their last checkpoint.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from mmengine.config import Config

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.datasets.voc_files import read_ids
from bana_mm.evaluation import evaluate_labels, store_rows
from bana_mm.evaluation.ablations import Figures, Plan, Table, Training, compare, comparison_table, read_plan
from bana_mm.evaluation.changed_labels import change_labels
from bana_mm.evaluation.confidence import ConfidenceQuality
from bana_mm.labels import LabelStore, read_label_png, reliable_region
from bana_mm.labels.sources import split_instances
from bana_mm.labels.store import NETWORK_MAPS
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.progress import Progress
from bana_mm.utils.record import keep_record
from bana_mm.utils.stages import (
    Step,
    StepError,
    final_checkpoint,
    is_newer,
    label_step,
    read_scores,
    test_step,
    train_step,
)
from bana_mm.utils.table import percent
from bana_mm.visualization.spread import draw_spread

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'demo'
SPLIT = 'train_aug'
SETTINGS = ('num_train', 'num_val', 'classifier_iters', 'segmentation_iters', 'amp')  # of all runs in a folder
CONFIG_LOCK = Lock()  # configs read the environment


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--plan', default=str(CONFIGS / 'ablations.yml'), help='what to run (default: %(default)s)')
    parser.add_argument('--out-dir', default='work_dirs/ablations', help='folder of everything (default: %(default)s)')
    parser.add_argument('--seeds', type=int, nargs='+', help="these alone (default: as many as the plan's tables ask)")
    parser.add_argument('--tables', nargs='+', metavar='TEXT', help='only tables whose title contains one of these')
    parser.add_argument('--num-train', type=int, default=300, help='training images (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=100, help='validation images (default: %(default)s)')
    parser.add_argument('--classifier-iters', type=int, help="iterations of stage 1 (default: the configs')")
    parser.add_argument('--segmentation-iters', type=int, help="iterations of stage 3 (default: the configs')")
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--jobs', type=int, default=1, help='processes side by side (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='threads of each (default: %(default)s)')
    parser.add_argument('--report', action='store_true', help='run nothing, only write what the finished runs say')
    return parser.parse_args()


class SeedRuns:
    """Everything that one seed runs, in ``OUT_DIR/seed_N``.

    Args:
        plan (Plan): What there is to run.
        root (Path): Folder of the seed.
        seed (int): Of the images and of every training.
        settings (dict): ``num_train``, ``num_val``, ``classifier_iters``, ``segmentation_iters`` and ``amp``.
        threads (int): Of each process.
        start (Path | None): Checkpoint from whose weights the trainings begin. Defaults to None, from nothing.
    """

    def __init__(
        self,
        plan: Plan,
        root: Path,
        seed: int,
        settings: Mapping[str, Any],
        threads: int,
        start: Path | None = None,
    ) -> None:
        self.plan = plan
        self.root = root
        self.seed = seed
        self.settings = settings
        self.start = start
        self.env = dict(DEMO_ROOT=str(root), OMP_NUM_THREADS=str(threads))
        self.data = root / 'data'

    def draw(self) -> None:
        """Draw the images."""
        make_synthetic_voc(self.data, self.settings['num_train'], self.settings['num_val'], seed=self.seed)

    def train_classifier(self, name: str) -> Path:
        """Train a classifier; the path of its checkpoint."""
        cfg = self.classifier_config(name)
        self._run(train_step(f'seed {self.seed}: classifier {name}', cfg, cfg.work_dir, amp=self.settings['amp']))
        return final_checkpoint(cfg, cfg.work_dir)

    def make_labels(self, name: str) -> None:
        """Make labels, or change other ones, and compare them with the masks."""
        entry, folder = self.plan.labels[name], self.label_dir(name)
        if 'of' in entry:
            self._change_labels(name)
        else:
            cfg = self.classifier_config(entry['classifier'])
            checkpoint = final_checkpoint(cfg, cfg.work_dir)
            cfg.model.label_recipe = {**entry['recipe'], 'crf': cfg.model.label_recipe.crf}
            cfg = self._write_config(f'labels_{name}', cfg)
            title = f'seed {self.seed}: labels {name}'
            self._run(label_step(title, cfg.filename, checkpoint, folder, SPLIT, self._ids(), workers=0))
        store, path = LabelStore(folder), folder / 'figures.json'
        if not is_newer(path, [folder / 'meta.json']):
            figures = measure_labels(store, self.data / 'SegmentationClassAug', self._ids())
            with whole_file(path) as partial:
                partial.write_text(json.dumps(figures) + '\n')

    def train(self, training: Training) -> None:
        """Train and test a row of stage 3."""
        cfg = self.training_config(training)
        title = f'seed {self.seed}: {training.key}'
        labels = None if training.labels is None else self.label_dir(training.labels) / 'meta.json'
        self._run(train_step(title, cfg, cfg.work_dir, amp=self.settings['amp'], labels=labels))
        if not self.scores(training):  # killed between the last checkpoint and the end of the validation
            self._run(test_step(f'{title}, test', cfg, cfg.work_dir))

    def label_figures(self, name: str) -> dict[str, float]:
        """What :func:`measure_labels` found; empty where it has not been called yet."""
        path = self.label_dir(name) / 'figures.json'
        return json.loads(path.read_text()) if path.is_file() else {}

    def scores(self, training: Training) -> dict[str, float]:
        """Scores of a finished training on the validation images in percent; else empty."""
        work_dir = self.work_dir(training)
        config = self._config_path(f'training_{work_dir.name}')
        if not config.is_file():
            return {}
        final = Config.fromfile(config).train_cfg.max_iters
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True):
            for line in reversed(path.read_text().splitlines()):
                values = json.loads(line)
                if 'mIoU' in values and values['step'] == final:
                    return dict(mIoU=values['mIoU'])
        return read_scores(work_dir)

    def label_dir(self, name: str) -> Path:
        """Folder of labels."""
        return self.root / 'labels' / name

    def work_dir(self, training: Training) -> Path:
        """Work directory of a training."""
        return self.root / 'trainings' / training.key.replace('*', '_x')

    def classifier_config(self, name: str) -> Config:
        """Config of a classifier, written out."""
        cfg = self._read_config(self.plan.classifiers[name], self.settings['classifier_iters'])
        cfg.work_dir = str(self.root / 'classifiers' / name)
        return self._write_config(f'classifier_{name}', cfg)

    def training_config(self, training: Training) -> Config:
        """Config of a training, written out."""
        entry = self.plan.trainings[training.name]
        cfg = self._read_config(entry, self.settings['segmentation_iters'], training.factor)
        work_dir = self.work_dir(training)
        cfg.work_dir = str(work_dir)
        readers = [step for step in cfg.train_dataloader.dataset.pipeline if step.get('label_dir') is not None]
        if bool(readers) != (training.labels is not None):
            what = 'needs labels, NAME@LABELS' if readers else 'reads no labels'
            raise ValueError(f'{self.plan.path}: row {training.key!r}: {entry["config"]} {what}')
        for step in readers:
            step.label_dir = str(self.label_dir(training.labels))
        return self._write_config(f'training_{work_dir.name}', cfg)

    def _read_config(self, entry: Mapping[str, Any], iters: int | None, factor: float = 1.0) -> Config:
        with CONFIG_LOCK:
            os.environ['DEMO_ROOT'] = str(self.root)  # which the configs read
            cfg = Config.fromfile(self.plan.path.parent / entry['config'])
        iters = round((iters or cfg.train_cfg.max_iters) * factor)
        cfg.load_from = None if self.start is None else str(self.start)
        changes = {'train_cfg.max_iters': iters, 'train_cfg.val_interval': iters, 'param_scheduler.0.end': iters}
        cfg.merge_from_dict({**changes, 'randomness.seed': self.seed, **entry.get('options', {})})
        return cfg

    def _write_config(self, name: str, cfg: Config) -> Config:
        """Write a config that names no other; what was begun with another one is not gone on with."""
        path = self._config_path(name)
        text = ''.join(f'{key} = {value!r}\n' for key, value in cfg.to_dict().items())
        if path.is_file() and path.read_text() != text:
            raise ValueError(f'{path}: this run was begun with other settings; choose another --out-dir, or remove it')
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(text)
        return Config.fromfile(path)

    def _config_path(self, name: str) -> Path:
        return self.root / 'configs' / f'{name}.py'

    def _change_labels(self, name: str) -> None:
        entry = self.plan.labels[name]
        source, store = LabelStore(self.label_dir(entry['of'])), LabelStore(self.label_dir(name))
        ids = self._ids()
        if not store.missing(ids) and is_newer(store.root / 'meta.json', [source.root / 'meta.json']):
            return
        classes = source.meta['classes']
        changed = dict(change=entry['change'], amount=entry['amount'], seed=self.seed)
        store.begin(dict(made_from=source.meta, **changed, classes=classes))
        dataset = VOCBoxDataset(
            f'ImageSets/Segmentation/{SPLIT}.txt', data_root=str(self.data), metainfo=dict(classes=classes)
        )
        for number in range(len(dataset)):
            item = dataset.get_data_info(number)
            boxes, labels, _ = split_instances(item['instances'])
            maps = change_labels(
                entry['change'],
                entry['amount'],
                {map_name: source.read(map_name, item['img_id']) for map_name in NETWORK_MAPS},
                read_label_png(item['seg_map_path']),
                boxes.astype(int),
                (labels + 1).tolist(),
                np.random.default_rng([self.seed, number]),
            )
            store.write(item['img_id'], **maps)

    def _ids(self) -> list[str]:
        return read_ids(self.data / 'ImageSets/Segmentation' / f'{SPLIT}.txt')

    def _run(self, step: Step) -> None:
        log = self.root / 'logs' / f'{step.title.partition(": ")[2].replace(" ", "_")}.log'
        step.run(log, env=self.env)


def measure_labels(store: LabelStore, mask_dir: Path, img_ids: Sequence[str]) -> dict[str, float | None]:
    """Labels against masks, in percent.

    Returns:
        dict[str, float | None]: mIoU of each map and of what they agree on (``agree``); how many pixels are ``doubted``
        because the maps differ, and how many of these have a ``right`` label in Y_crf.
    """
    classes = store.meta['classes']
    found = evaluate_labels(store_rows([str(store.root)], merge='agree'), mask_dir, img_ids, len(classes))
    figures = {name: percent(confusion.mean_iou()) for name, confusion in found.items()}
    doubt = ConfidenceQuality()
    for img_id in img_ids:
        maps = [store.read(name, img_id) for name in store.maps]
        sigma = np.ones(maps[0].shape, np.float32)  # nothing is weighted
        doubt.update(sigma, maps[0], reliable_region(*maps), read_label_png(mask_dir / f'{img_id}.png'))
    doubted = doubt.figures()
    return {**figures, **{name: percent(doubted[name]) for name in ('doubted', 'right')}}


def make_schedule(plan: Plan, tables: Sequence[Table], seeds: Iterable[int]) -> list[tuple[int, str, str]]:
    """What is run, in order: seed, kind ('data', 'classifier', 'labels' or 'training') and name, each once.

    What others need stands before them.
    """
    order: dict[tuple[int, str, str], None] = {}
    for seed in seeds:
        for table in tables:
            if seed >= table.seeds:
                continue
            order[seed, 'data', ''] = None
            for name in plan.label_sets(table):
                if 'classifier' in plan.labels[name]:
                    order[seed, 'classifier', plan.labels[name]['classifier']] = None
                order[seed, 'labels', name] = None
            if table.kind == 'trainings':
                order.update(((seed, 'training', key), None) for key in table.keys())
    return list(order)


def run_all(plan: Plan, runs: Mapping[int, SeedRuns], schedule: Sequence[tuple[int, str, str]], jobs: int) -> None:
    """Run a schedule, several items side by side; after a failure nothing more is begun.

    Raises:
        StepError: If an item fails.
    """
    futures: dict[tuple[int, str, str], Future] = {}
    failed: list[tuple[int, str, str]] = []

    def run(item: tuple[int, str, str]) -> None:
        seed, kind, name = item
        for other in _needs(plan, item):
            futures[other].result()  # stands before it in the queue, so it is done or being done
        if failed:
            raise StepError(f'seed {seed}: {kind} {name} was not begun')
        calls = dict(
            data=lambda: runs[seed].draw(),
            classifier=lambda: runs[seed].train_classifier(name),
            labels=lambda: runs[seed].make_labels(name),
            training=lambda: runs[seed].train(Training.parse(name)),
        )
        try:
            calls[kind]()
        except BaseException:
            failed.append(item)
            raise

    with ThreadPoolExecutor(jobs) as pool, Progress(len(schedule), title='runs', unit='runs') as progress:
        for item in schedule:
            futures[item] = pool.submit(run, item)
        for future in futures.values():
            future.add_done_callback(lambda done: progress.update())
    for item in failed[:1]:
        futures[item].result()


def _needs(plan: Plan, item: tuple[int, str, str]) -> list[tuple[int, str, str]]:
    seed, kind, name = item
    if kind == 'classifier':
        return [(seed, 'data', '')]
    if kind == 'labels':
        entry = plan.labels[name]
        return [(seed, 'labels', entry['of']) if 'of' in entry else (seed, 'classifier', entry['classifier'])]
    if kind == 'training':
        labels = Training.parse(name).labels
        return [(seed, 'labels', labels) if labels else (seed, 'data', '')]
    return []


def make_start(
    plan: Plan, root: Path, settings: Mapping[str, Any], threads: int
) -> tuple[Callable[[], None], Path | None]:
    """What trains the weights from which all else begins, and where they will be; nothing where the plan has none."""
    if not plan.start:
        return lambda: None, None
    own = dict(settings, num_train=plan.start['num_train'], classifier_iters=plan.start['iters'])
    runs = SeedRuns(plan, root / 'start', plan.start['seed'], own, threads)
    cfg = runs.classifier_config(plan.start['classifier'])

    def run() -> None:
        runs.draw()
        runs.train_classifier(plan.start['classifier'])

    return run, final_checkpoint(cfg, cfg.work_dir)


def collect(plan: Plan, runs: Mapping[int, SeedRuns]) -> dict[str, dict[int, dict[str, float]]]:
    """All figures that there are, by run and seed."""
    figures: dict[str, dict[int, dict[str, float]]] = {}
    trainings = [key for table in plan.tables if table.kind == 'trainings' for key in table.keys()]
    for seed, one in runs.items():
        for name in plan.labels:
            figures.setdefault(name, {})[seed] = one.label_figures(name)
        for key in dict.fromkeys(trainings):
            figures.setdefault(key, {})[seed] = one.scores(Training.parse(key))
    return {key: {seed: one for seed, one in by_seed.items() if one} for key, by_seed in figures.items()}


def report(plan: Plan, figures: Figures, settings: Mapping[str, Any], root: Path) -> str:
    """Write JSON, tables and plot; the tables as text."""
    rows = {table.title: compare(plan, table, figures) for table in plan.tables}
    text = '\n\n'.join(f'{title}\n{comparison_table(lines)}' for title, lines in rows.items())
    tables = [dict(title=title, rows=[row.to_dict() for row in lines]) for title, lines in rows.items()]
    content = dict(settings=settings, runs=figures, tables=tables)
    for name, what in (('json', json.dumps(content, indent=2)), ('txt', text)):
        with whole_file(root / f'ablations.{name}') as partial:
            partial.write_text(what + '\n')
    drawn = {title: {row.title: list(row.figures.values()) for row in lines} for title, lines in rows.items()}
    if any(map(any, (lines.values() for lines in drawn.values()))):
        draw_spread(drawn, 'mIoU, %').savefig(root / 'ablations.png', dpi=80)
    return text


def main() -> None:
    args = parse_args()
    plan, root = read_plan(args.plan), Path(args.out_dir)
    settings = {name: getattr(args, name) for name in SETTINGS}
    root.mkdir(parents=True, exist_ok=True)
    keep_record(root / 'settings.json', settings)
    tables = [table for table in plan.tables if not args.tables or any(text in table.title for text in args.tables)]
    every = range(max(table.seeds for table in plan.tables))
    start, checkpoint = make_start(plan, root, settings, args.threads)
    runs = {seed: SeedRuns(plan, root / f'seed_{seed}', seed, settings, args.threads, checkpoint) for seed in every}
    if not args.report:
        try:
            start()
            run_all(plan, runs, make_schedule(plan, tables, every if args.seeds is None else args.seeds), args.jobs)
        except StepError as error:
            sys.exit(f'{error}\nThe same command goes on from here.')
    print(report(plan, collect(plan, runs), settings, root))


if __name__ == '__main__':
    main()
