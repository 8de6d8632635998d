"""The steps of a training from boxes: classifier, labels, their evaluation, segmentation, test."""

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bana_mm.labels.sinks.mask_json import read_record
from bana_mm.structures import LabelStore
from bana_mm.utils.config import config_arguments, parse_options
from bana_mm.utils.label_origin import final_checkpoint, is_trained, last_checkpoint_file
from bana_mm.utils.record import as_stored, check_record, keep_record, read_json
from bana_mm.utils.run_options import RunOptions

from .step import Step, StepError
from .work_dirs import score_files

STEPS = 'steps.json'  # keeps the settings that results were made with
# Settings of a config by what depends on them.
TRAINING = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'randomness', 'load_from')
LABELS = ('model', 'instance_recipe', 'test_dataloader')
TEST = ('model', 'test_dataloader', 'test_evaluator', 'tta_model', 'tta_pipeline')
# What differs from one machine to the next, and changes no result.
OF_THE_MACHINE = {'num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory', 'backend_args', 'data_root'}
OF_THE_MACHINE |= {'val_interval', 'pretrained', 'checkpoint'}  # weights are wherever they were downloaded to


@dataclass(frozen=True)
class Teacher:
    """A trained model that labels the images anew on which the next one is trained.

    Args:
        config (Path): The whole config of its run, as it lies in the work directory.
        checkpoint (Path): Its checkpoint.
    """

    config: Path
    checkpoint: Path

    def source(self, is_instances: bool) -> str:
        """The source of labels, for the tool.

        Raises:
            ValueError: If a path holds a sign that parts sources.
        """
        for path in (self.config, self.checkpoint):
            if set(':+|') & set(str(path)):
                raise ValueError(f"{path}: no ':', '+' or '|' may be in the path of a model that makes labels")
        return f'{"detector" if is_instances else "segmentor"}:{self.config}:{self.checkpoint}'


def train_step(
    title: str,
    cfg: Config,
    work_dir: str | os.PathLike,
    overrides: Sequence[str] = (),
    amp: bool = False,
    labels: str | os.PathLike | None = None,
) -> Step:
    """Train until the final checkpoint is there, from the last checkpoint if there is one.

    A copy of the labels' description stays in the work directory, so that a checkpoint is neither taken as a result nor
    trained on once the labels were made in another way.

    Args:
        title (str): Title of the step.
        cfg (Config): The config, see :func:`bana_mm.utils.config.read_config`.
        work_dir (str | os.PathLike): Work directory.
        overrides (Sequence[str]): ``key=value`` changes of the config, for the tool. Defaults to none.
        amp (bool): Train in mixed precision. Defaults to False.
        labels (str | os.PathLike | None): ``meta.json`` of the labels that it is trained on, or the JSON of pseudo
            masks. Defaults to None.
    """
    command = ['train.py', cfg.filename, '--work-dir', work_dir, '--resume']
    command += ['--amp'] if amp else []
    final = final_checkpoint(cfg, work_dir)

    def check_labels() -> None:
        if labels is None or not Path(labels).is_file():
            return
        trained_on, description = Path(work_dir) / 'labels.json', _description(Path(labels))
        if not last_checkpoint_file(work_dir).is_file():
            trained_on.unlink(missing_ok=True)  # of a training that wrote no checkpoint
            trained_on.parent.mkdir(parents=True, exist_ok=True)
            keep_record(trained_on, description)
        elif trained_on.is_file():
            way_out = f'see {labels}, and move the folder away to train anew'
            try:
                check_record(work_dir, read_json(trained_on), description, 'was trained on labels made', way_out)
            except ValueError as error:
                raise StepError(f'{title}: {error}') from error

    return Step(
        title,
        _strings(command + _changes(cfg, overrides)),
        lambda: is_trained(final),
        check_labels,
        kept_in=Path(work_dir) / STEPS,
        settings=dict(settings_of(cfg, TRAINING), amp=amp),
        is_begun=last_checkpoint_file(work_dir).is_file,
    )


def label_step(
    title: str,
    cfg: Config,
    checkpoint: Path,
    label_dir: str | os.PathLike,
    split: str,
    img_ids: Sequence[str],
    options: RunOptions | None = None,
    overrides: Sequence[str] = (),
    teacher: Teacher | None = None,
) -> Step:
    """Make the labels of a split.

    They are done when no image lacks any and they were begun after the checkpoint was written.

    Args:
        title (str): Title of the step.
        cfg (Config): Config of the classifier.
        checkpoint (Path): Its checkpoint.
        label_dir (str | os.PathLike): Folder of the labels.
        split (str): Name of the split.
        img_ids (Sequence[str]): Images of the split.
        options (RunOptions | None): Processes, batch size and device. Defaults to None, the tool's defaults.
        overrides (Sequence[str]): ``key=value`` changes of the config, for the tool. Defaults to none.
        teacher (Teacher | None): What makes the labels in the classifier's place; the config then is that of the images
            alone, and the checkpoint the teacher's. Defaults to None.
    """
    source = None if teacher is None else teacher.source(is_instances=False)
    store = LabelStore(label_dir, None if source is None else source.split(':')[:1])
    made_by = [checkpoint] if source is None else ['--source', source]
    command = ['generate_labels.py', cfg.filename, *made_by, '--out-dir', label_dir, '--split', split]
    return Step(
        title,
        _strings(command + _run_options(options) + _changes(cfg, overrides)),
        lambda: not store.missing(img_ids) and is_newer(store.root / 'meta.json', [checkpoint]),
        kept_in=store.root / STEPS,
        settings=_label_settings(cfg, overrides, source),
    )


def instance_step(
    title: str,
    cfg: Config,
    checkpoint: Path,
    boxes: str | os.PathLike,
    out: str | os.PathLike,
    img_dir: str | os.PathLike | None = None,
    options: RunOptions | None = None,
    overrides: Sequence[str] = (),
    keep_masks: bool = False,
    teacher: Teacher | None = None,
) -> Step:
    """Make masks of the instances of a COCO file. They are done when their file was written after the checkpoint.

    Args:
        title (str): Title of the step.
        cfg (Config): Config of the classifier.
        checkpoint (Path): Its checkpoint.
        boxes (str | os.PathLike): COCO's JSON of the boxes.
        out (str | os.PathLike): JSON of the masks.
        img_dir (str | os.PathLike | None): Folder of the images. Defaults to None, the tool's default.
        options (RunOptions | None): Processes, batch size and device. Defaults to None, the tool's defaults.
        overrides (Sequence[str]): ``key=value`` changes of the config, for the tool. Defaults to none.
        keep_masks (bool): Whether boxes that have a true mask keep it. Defaults to False.
        teacher (Teacher | None): See :func:`label_step`. Defaults to None.
    """
    made_by = [checkpoint] if teacher is None else ['--source', teacher.source(is_instances=True)]
    command = ['generate_labels.py', cfg.filename, *made_by, '--coco', boxes, '--out', out]
    command += ['--keep-masks'] if keep_masks else []
    command += [] if img_dir is None else ['--img-dir', img_dir]
    command += _run_options(options) + _changes(cfg, overrides)
    return Step(
        title,
        _strings(command),
        lambda: is_newer(Path(out), [checkpoint]),
        kept_in=Path(f'{out}.{STEPS}'),
        settings=dict(_label_settings(cfg, overrides, teacher and teacher.source(is_instances=True)), keep=keep_masks),
    )


def evaluate_step(
    title: str,
    label_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    data_root: str | os.PathLike,
    split: str,
    sources: Sequence[str] = ('box',),
    merged: bool = True,
) -> Step:
    """Compare the labels of a split and those of some sources with masks; writes ``label_dir/SPLIT.json``.

    Args:
        title (str): Title of the step.
        label_dir (str | os.PathLike): Folder of the labels.
        mask_dir (str | os.PathLike): Folder of the masks.
        data_root (str | os.PathLike): Root of the data set in VOC's layout.
        split (str): Name of the split.
        sources (Sequence[str]): Labels made from the boxes to compare with. Defaults to ``('box',)``.
        merged (bool): Whether there are two maps, of which what they agree on is evaluated too. Defaults to True.
    """
    result = Path(label_dir) / f'{split}.json'
    ids = Path(data_root) / 'ImageSets/Segmentation' / f'{split}.txt'
    command = ['evaluate_labels.py', label_dir, '--gt', mask_dir, '--split', ids, '--json', result]
    command += ['--merge', 'agree'] if merged else []
    command += ['--sources', *sources, '--voc-root', data_root] if sources else []
    return Step(title, _strings(command), lambda: is_newer(result, [Path(label_dir) / 'meta.json']))


def test_step(
    title: str,
    cfg: Config,
    work_dir: str | os.PathLike,
    overrides: Sequence[str] = (),
    out: str | os.PathLike | None = None,
    all_scores: bool = False,
) -> Step:
    """Test the final checkpoint of a training; the scores go below ``work_dir/test``.

    Args:
        title (str): Title of the step.
        cfg (Config): The config, see :func:`bana_mm.utils.config.read_config`.
        work_dir (str | os.PathLike): Work directory of the training.
        overrides (Sequence[str]): ``key=value`` changes of the config, for the tool. Defaults to none.
        out (str | os.PathLike | None): Folder for the predictions. Defaults to None.
        all_scores (bool): One view and eight, each with and without CRF (segmentation). Defaults to False, one view.
    """
    checkpoint = final_checkpoint(cfg, work_dir)
    command = ['test.py', cfg.filename, checkpoint, '--work-dir', Path(work_dir) / 'test']
    command += ([] if out is None else ['--out', out]) + (['--all'] if all_scores else []) + _changes(cfg, overrides)

    def is_done() -> bool:
        tests = [read_json(path) for path in score_files(work_dir) if is_newer(path, [checkpoint])]
        return any('mIoU_tta_crf' in scores or not all_scores for scores in tests)

    settings = dict(settings_of(cfg, TEST), all_scores=all_scores)
    return Step(title, _strings(command), is_done, kept_in=Path(work_dir) / 'test' / STEPS, settings=settings)


def settings_of(cfg: Config, names: Sequence[str]) -> dict[str, Any]:
    """Settings of a config that results depend on, JSON-like: without what only says where files are and who does it.

    Args:
        cfg (Config): The config.
        names (Sequence[str]): Its settings.
    """
    return {name: _plain(cfg[name]) for name in names if cfg.get(name) is not None}


def _label_settings(cfg: Config, overrides: Sequence[str], source: str | None) -> dict[str, Any]:
    """What labels depend on; of those of a teacher its source says it."""
    changed = Config(copy.deepcopy(cfg.to_dict()))
    changed.merge_from_dict(parse_options(overrides))
    return settings_of(changed, LABELS) if source is None else dict(source=source)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items() if key not in OF_THE_MACHINE}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def is_newer(path: Path, sources: Iterable[Path]) -> bool:
    """Whether a file is there and was written after all of its sources, as make asks."""
    return path.is_file() and all(not one.exists() or path.stat().st_mtime >= one.stat().st_mtime for one in sources)


def _description(labels: Path) -> dict[str, Any]:
    """What labels say about how they were made; empty where they say nothing."""
    return as_stored(read_json(labels) if labels.name == 'meta.json' else read_record(labels) or {})


def _run_options(options: RunOptions | None) -> list[str]:
    return [] if options is None else options.arguments()


def _changes(cfg: Config, overrides: Sequence[str]) -> list[str]:
    """What makes the tool's config the one that is meant: data set, preset, overrides."""
    return config_arguments(cfg.get('applied')) + (['--cfg-options', *overrides] if overrides else [])


def _strings(command: Sequence) -> list[str]:
    return [os.fspath(part) if isinstance(part, os.PathLike) else str(part) for part in command]
