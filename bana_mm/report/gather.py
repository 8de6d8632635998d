"""What lies in a work directory: trainings with their curves and scores, labels with their evaluations, times."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bana_mm.pipeline.work_dirs import score_files
from bana_mm.structures import LabelStore
from bana_mm.utils.config import find_pseudo_labels
from bana_mm.utils.config.files import read_file
from bana_mm.utils.label_origin import final_checkpoint, last_checkpoint_file
from bana_mm.utils.record import read_json

Points = list[tuple[float, float]]
STAMP = '%Y%m%d_%H%M%S'  # of mmengine's folders


@dataclass
class Training:
    """A training in its folder.

    Args:
        name (str): Its folder as seen from the work directory.
        folder (Path): The folder.
        cfg (Config | None): The config that mmengine stored; None where it can't be read.
        series (dict[str, Points]): Scalars by name: step and value. Those of validations are beside the losses.
        seconds (float | None): Time of the training's iterations: the logged seconds an iteration times the iterations.
        scores (dict[str, float]): Of its tests, of each score the latest.
        test_seconds (float | None): Of the latest test, from its folder's name to its file's time.
    """

    name: str
    folder: Path
    cfg: Config | None
    series: dict[str, Points]
    seconds: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    test_seconds: float | None = None

    @property
    def checkpoint(self) -> Path | None:
        """The last one that was written as a whole, where it is still there."""
        record = last_checkpoint_file(self.folder)
        found = self.folder / Path(record.read_text().strip()).name if record.is_file() else None
        if found is None and self.cfg is not None and (self.cfg.get('train_cfg') or {}).get('max_iters'):
            found = final_checkpoint(self.cfg, self.folder)
        return found if found is not None and found.is_file() else None

    @property
    def predictions(self) -> Path | None:
        """Folder of the test's predictions, as the demo and ``tools/test.py --out`` write them there."""
        folder = self.folder / 'predictions'
        return folder if folder.is_dir() else None

    @property
    def is_classifier(self) -> bool:
        """Whether it is one of stage 1 that knows boxes."""
        return self.cfg is not None and str(self.cfg.model.get('type')).endswith('BoxClassifier')

    @property
    def is_segmentor(self) -> bool:
        """Whether it is a model of mmseg."""
        return self.cfg is not None and self.cfg.get('default_scope') == 'mmseg'

    @property
    def is_detector(self) -> bool:
        """Whether it is a model of mmdet that is trained on masks of instances, or on boxes to find them."""
        return (
            self.cfg is not None
            and self.cfg.get('default_scope') == 'mmdet'
            and not str(self.cfg.model.get('type')).endswith('Classifier')
        )

    @property
    def has_noise_aware_loss(self) -> bool:
        """Whether the confidence is part of its loss."""
        return self.cfg is not None and 'NoiseAware' in str(self.cfg.model)

    @property
    def pseudo_labels(self) -> Mapping[str, Any]:
        """Where its labels come from, see :func:`bana_mm.utils.config.find_pseudo_labels`."""
        return (find_pseudo_labels(self.cfg) if self.cfg is not None else None) or {}


@dataclass
class LabelSet:
    """A label store.

    Args:
        name (str): Its folder as seen from the work directory.
        store (LabelStore): The labels.
        evaluations (dict[str, dict]): What ``tools/evaluate_labels.py --json`` wrote there, by split.
        seconds (float | None): From the store's beginning to its last map, by the times of the files.
    """

    name: str
    store: LabelStore
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float | None = None


@dataclass
class Findings:
    """All that was found.

    Args:
        root (Path): The work directory.
        trainings (list[Training]): In the order in which they were begun.
        labels (list[LabelSet]): Label stores in it, and those that its trainings name.
        filling_rates (dict | None): ``labels`` of a ``filling_rates.json``, see ``tools/analysis/filling_rates.py``.
    """

    root: Path
    trainings: list[Training]
    labels: list[LabelSet]
    filling_rates: dict[str, Any] | None = None


def find_all(root: str | Path) -> Findings:
    """Look through a work directory.

    Args:
        root (str | Path): Folder of one training, or of all stages, such as that of ``make demo``.

    Raises:
        FileNotFoundError: If there is neither a training nor a label store.
        ValueError: If a file of scores is not valid JSON; the message names it.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f'{root}: there is no such work directory')
    folders = sorted(
        {path.parents[1] for path in root.rglob('vis_data') if path.is_dir()}
        | {path.parent for path in root.rglob('last_checkpoint')}
    )
    found = [read_training(folder, _relative(folder, root)) for folder in folders]
    trainings = sorted((one for one in found if one is not None), key=lambda one: _begun(one.folder))
    stores = [path.parent for path in sorted(root.rglob('meta.json'))]
    for training in trainings:
        folder = training.pseudo_labels.get('dir')
        if folder and Path(folder, 'meta.json').is_file():
            stores.append(Path(folder))
    labels = [read_labels(folder, _relative(folder, root)) for folder in _distinct(stores)]
    if not trainings and not labels:
        raise FileNotFoundError(
            f'{root}: holds neither a training (TIMESTAMP/vis_data/scalars.json, written by tools/train.py) nor labels '
            '(meta.json, written by tools/generate_labels.py)'
        )
    rates = next(iter(sorted(root.rglob('filling_rates.json'))), None)
    return Findings(root, trainings, labels, None if rates is None else read_json(rates)['labels'])


def read_training(folder: Path, name: str) -> Training | None:
    """A training from the files of its runs; None where none of them trained anything, as of a test.

    One that wrote no scalars is known by its checkpoints: it was too short, or wrote to TensorBoard alone.
    """
    series: dict[str, Points] = defaultdict(list)
    seconds, configs = 0.0, []
    for run in sorted(folder.glob('*/vis_data/scalars.json')):
        lines = read_scalars(run)
        if not any('loss' in line for line in lines):
            continue
        configs.append(run.with_name('config.py'))
        first = min(_step(line) for line in lines)
        for points in series.values():  # a training that goes on does the last steps before its checkpoint again
            points[:] = [point for point in points if point[0] < first]
        for line in lines:
            for key, value in line.items():
                if key not in ('step', 'iter', 'epoch') and isinstance(value, (int, float)):
                    # an iteration's time is not a validation image's
                    key = key if 'loss' in line or key not in ('time', 'data_time') else f'val_{key}'
                    if not series[key] or series[key][-1][0] < _step(line):
                        series[key].append((_step(line), float(value)))
    if not configs and not last_checkpoint_file(folder).is_file():
        return None
    before = 0.0
    for step, value in series.get('time', ()):
        seconds, before = seconds + value * (step - before), step
    training = Training(name, folder, _read_config([*configs[::-1], *folder.glob('*.py')]), dict(series))
    training.seconds = seconds or None
    for path in sorted(score_files(folder), key=lambda path: path.stat().st_mtime):
        scores = read_json(path)
        training.scores.update({key: value for key, value in scores.items() if isinstance(value, (int, float))})
        begun = _stamp(path.stem)
        training.test_seconds = None if begun is None else max(path.stat().st_mtime - begun, 0.0)
    return training


def read_scalars(path: Path) -> list[dict[str, Any]]:
    """Lines of mmengine's ``scalars.json``; one that a killed run left unfinished is left out."""
    lines = []
    for text in path.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and ('step' in line or 'iter' in line):
            lines.append(line)
    return lines


def read_labels(folder: Path, name: str) -> LabelSet:
    """A label store with its evaluations."""
    store = LabelStore(folder)
    labels = LabelSet(name, store)
    for path in sorted(folder.glob('*.json')):
        content = read_json(path) if path.name != 'meta.json' else None
        for one in content.get('splits', [content]) if isinstance(content, dict) else ():
            if isinstance(one.get('rows'), dict):
                labels.evaluations[Path(one.get('split') or path.stem).stem] = one
    newest = max((path.stat().st_mtime for path in (folder / store.maps[0]).rglob('*.png')), default=None)
    if newest is not None:
        labels.seconds = max(newest - (folder / 'meta.json').stat().st_mtime, 0.0)
    return labels


def _read_config(files: Iterable[Path]) -> Config | None:
    for file in files:
        try:
            return read_file(file)
        except Exception:  # a config of another version may fail in any way; the figures are worth showing without it
            continue
    return None


def _begun(folder: Path) -> str:
    """The name of its first run's folder, which is a time."""
    return min((path.name for path in folder.iterdir() if _stamp(path.name) is not None), default='')


def _stamp(name: str) -> float | None:
    try:
        return datetime.strptime(name, STAMP).timestamp()
    except ValueError:
        return None


def _step(line: Mapping[str, Any]) -> float:
    return float(line.get('step', line.get('iter')))


def _relative(folder: Path, root: Path) -> str:
    if folder.resolve() == root.resolve():
        return root.resolve().name
    try:
        return folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return folder.as_posix()


def _distinct(folders: Sequence[Path]) -> list[Path]:
    return list({folder.resolve(): folder for folder in folders}.values())
