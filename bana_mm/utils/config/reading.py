"""Configs as the tools read them: a file, the data set and the size that the command line names, and its overrides."""

import argparse
import copy
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bana_mm.utils.options import OptionsAction
from bana_mm.utils.resources import find_config

from .datasets import find_pseudo_labels, place_of_pseudo_labels
from .files import read_file
from .misspelt import misspelt_keys
from .num_classes import set_num_classes
from .own_data import apply_data
from .presets import apply_preset, known_presets

# A config that went into a preset together with its size.
_FORMER = {'mask-rcnn_r18_fpn_coco': 'mask-rcnn_r101_fpn_coco2coco'}


def read_config(
    path: str | os.PathLike,
    options: Mapping[str, Any] | None = None,
    work_dir: str | os.PathLike | None = None,
    data: str | os.PathLike | None = None,
    preset: str | None = None,
) -> Config:
    """A config, ready for mmengine's runner.

    What was put into it is in its field ``applied``, and its run has a name of its own, see :func:`run_name`, which the
    work directory has too. Labels that lie in the work directory of the classifier are looked for in that of the
    classifier's run with the same data set and preset.

    Args:
        path (str | os.PathLike): Its file, see :func:`bana_mm.utils.resources.find_config`.
        options (Mapping | None): Settings by dotted key, which come last. ``pseudo_labels.maps`` and the like mean
            those of the training set, ``train_dataloader.dataset.pseudo_labels.maps``. Defaults to None.
        work_dir (str | os.PathLike | None): Defaults to None: that of the config with the names of data set and preset,
            or else ``work_dirs/RUN_NAME``.
        data (str | os.PathLike | None): File of a data set, see :func:`bana_mm.utils.config.own_data.apply_data`.
            Defaults to None.
        preset (str | None): Name or file of a preset, see :func:`bana_mm.utils.config.presets.apply_preset`. Defaults
            to None.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If data set or preset do not fit the config, or it has pseudo labels in two places.
    """
    file, preset = _without_size(path, preset)
    cfg = read_file(file)
    applied = {key: str(value) for key, value in dict(data=data, preset=preset).items() if value is not None}
    if preset is not None:
        apply_preset(cfg, preset)
    if data is not None:
        apply_data(cfg, data)
    if applied:
        cfg.applied = {**cfg.get('applied', {}), **applied}
        _follow_classifier(cfg, applied)
    place = place_of_pseudo_labels(cfg)
    if place is not None and 'pseudo_labels' in cfg:
        raise ValueError(f'{path}: pseudo_labels belongs in {place}; at the top of the config nothing reads it')
    if options:
        options = {_in_training_set(key, place): value for key, value in options.items()}
        for key, meant in misspelt_keys(cfg, options).items():
            _warn(f'warning: {path} has no {key}; did you mean {meant}? {key} is set all the same')
        cfg.merge_from_dict(copy.deepcopy(options))
    set_num_classes(cfg)
    if work_dir is not None:
        cfg.work_dir = os.fspath(work_dir)
    elif applied or cfg.get('work_dir') is None:
        cfg.work_dir = _work_dir(cfg.get('work_dir'), file, applied)
    return cfg


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Settings from a command line, for :func:`read_config`.

    Args:
        options (Sequence[str]): ``KEY=VALUE`` each; what is neither a number nor a list is text.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options if options else {}


def run_name(cfg: Config) -> str:
    """The name of a config's runs: its file's, and those of the data set and the preset that were put into it."""
    return Path(cfg.filename).stem + _suffix(cfg.get('applied') or {})


def config_arguments(applied: Mapping[str, Any] | None) -> list[str]:
    """The arguments of a command that put the same data set and preset into another config.

    Args:
        applied (Mapping | None): With ``data`` and ``preset``, or without: ``applied`` of a config, or its
            ``pseudo_labels``.
    """
    names = [name for name in ('data', 'preset') if (applied or {}).get(name)]
    return [part for name in names for part in (f'--{name}', applied[name])]


@cache
def _warn(message: str) -> None:
    """Say something once in a process, which may read one config several times."""
    print(message, file=sys.stderr)


def _in_training_set(key: str, place: str | None) -> str:
    return f'{place}.{key}' if place is not None and key.split('.')[0] == 'pseudo_labels' else key


def _suffix(applied: Mapping[str, Any]) -> str:
    return ''.join(f'_{Path(applied[name]).stem}' for name in ('data', 'preset') if applied.get(name))


def _work_dir(given: str | None, path: Path, applied: Mapping[str, Any]) -> str:
    return (given or f'work_dirs/{path.stem}') + _suffix(applied)


def _follow_classifier(cfg: Config, applied: Mapping[str, Any]) -> None:
    """Let the labels be those of the classifier with the same data set and preset."""
    labels = find_pseudo_labels(cfg)
    if not labels or not labels.get('config'):
        return
    labels.update(applied)
    former = Path('work_dirs', Path(labels['config']).stem)
    for field in ('dir', 'json'):
        if labels.get(field) and Path(labels[field]).is_relative_to(former):
            inside = Path(labels[field]).relative_to(former)
            if field == 'json':  # named after the file of the boxes, as labels_train2017.json
                inside = inside.with_name(f'labels_{Path(labels["boxes"]).stem.removeprefix("instances_")}.json')
            labels[field] = (Path(_work_dir(None, former, applied)) / inside).as_posix()


def _without_size(path: str | os.PathLike, preset: str | None) -> tuple[Path, str | None]:
    """The file of a config. ``X_cpu.py``, as CPU-sized configs were called, is ``X.py`` with the preset ``cpu``."""
    try:
        return find_config(path), preset
    except FileNotFoundError:
        for name in known_presets() if preset is None else ():
            stem = Path(path).stem.removesuffix(f'_{name}')
            full = Path(path).with_name(f'{_FORMER.get(stem, stem)}.py')
            try:
                file = find_config(full)
            except FileNotFoundError:
                continue
            print(f'{path} is taken as {full} --preset {name}', file=sys.stderr)
            return file, name
        raise
