"""Everything that one seed of an ablation runs: images, classifiers, labels and trainings, each once."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.datasets.voc_files import read_ids
from bana_mm.evaluation import evaluate_labels, store_rows
from bana_mm.evaluation.changed_labels import change_labels
from bana_mm.evaluation.confidence import ConfidenceQuality
from bana_mm.structures import BoxLayout, LabelStore, read_label_png, reliable_region
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.config import find_pseudo_labels, read_config
from bana_mm.utils.config.files import READING, read_file
from bana_mm.utils.label_origin import final_checkpoint
from bana_mm.utils.record import read_json
from bana_mm.utils.run_options import RunOptions
from bana_mm.utils.table import percent

from .ablation_plan import AblationPlan, Training
from .stages import is_newer, label_step, test_step, train_step
from .step import Step
from .work_dirs import read_scores

SPLIT = 'train_aug'


class SeedRuns:
    """Everything that one seed runs, in ``OUT_DIR/seed_N``.

    Args:
        plan (AblationPlan): What there is to run.
        root (Path): Folder of the seed.
        seed (int): Of the images and of every training.
        settings (dict): ``num_train``, ``num_val``, ``classifier_iters``, ``segmentation_iters`` and ``amp``.
        threads (int): Of each process.
        start (Path | None): Checkpoint from whose weights the trainings begin. Defaults to None, from nothing.
    """

    def __init__(
        self,
        plan: AblationPlan,
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
        self._running: dict[int, Step] = {}

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
            self._run(label_step(title, cfg, checkpoint, folder, SPLIT, self._ids(), RunOptions()))
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
        return read_json(path) if path.is_file() else {}

    def scores(self, training: Training) -> dict[str, float]:
        """Scores of a finished training on the validation images in percent; else empty."""
        work_dir = self.work_dir(training)
        config = self._config_path(f'training_{work_dir.name}')
        if not config.is_file():
            return {}
        final = read_file(config).train_cfg.max_iters
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True):
            for line in reversed(path.read_text().splitlines()):
                try:
                    values = json.loads(line)
                except ValueError:  # the last line of a training that was killed
                    continue
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
        labels = find_pseudo_labels(cfg) or {}
        reads = labels.get('dir') is not None
        if reads != (training.labels is not None):
            what = 'needs labels, NAME@LABELS' if reads else 'reads no labels'
            raise ValueError(f'{self.plan.path}: row {training.key!r}: {entry["config"]} {what}')
        if reads:
            labels['dir'] = str(self.label_dir(training.labels))
        return self._write_config(f'training_{work_dir.name}', cfg)

    def _read_config(self, entry: Mapping[str, Any], iters: int | None, factor: float = 1.0) -> Config:
        with READING:
            os.environ['DEMO_ROOT'] = str(self.root)  # which the configs read
            cfg = read_config(self.plan.path.parent / entry['config'])
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
        return read_file(path)

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
            maps = change_labels(
                entry['change'],
                entry['amount'],
                {map_name: source.read(map_name, item['img_id']) for map_name in source.maps},
                read_label_png(item['seg_map_path']),
                BoxLayout.from_instances((item['height'], item['width']), item['instances']),
                np.random.default_rng([self.seed, number]),
            )
            store.write(item['img_id'], **maps)

    def _ids(self) -> list[str]:
        return read_ids(self.data / 'ImageSets/Segmentation' / f'{SPLIT}.txt')

    def stop(self) -> None:
        """End what is running."""
        for step in list(self._running.values()):
            step.stop()

    def _run(self, step: Step) -> None:
        self._running[id(step)] = step
        try:
            step.run(self.root / 'logs' / f'{step.title.partition(": ")[2].replace(" ", "_")}.log', self.env)
        finally:
            del self._running[id(step)]


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
