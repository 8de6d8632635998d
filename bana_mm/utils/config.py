"""Configs as the tools read them."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from .resources import find_config


def read_config(
    path: str | os.PathLike, options: Mapping[str, Any] | None = None, work_dir: str | os.PathLike | None = None
) -> Config:
    """Read a config.

    Args:
        path (str | os.PathLike): Its file, see :func:`bana_mm.utils.resources.find_config`.
        options (Mapping | None): Settings to override, nested keys with dots. Defaults to None.
        work_dir (str | os.PathLike | None): Takes the place of the config's. Defaults to None.

    Returns:
        Config: With ``work_dir`` set: the argument, else the config's, else ``work_dirs/CONFIG_NAME``.

    Raises:
        FileNotFoundError: If the config does not exist.
    """
    cfg = Config.fromfile(find_config(path))
    cfg.merge_from_dict(dict(options or {}))
    if work_dir is not None:
        cfg.work_dir = os.fspath(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(path).stem))
    return cfg


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Settings from a command line, for :func:`read_config`.

    Args:
        options (Sequence[str]): ``KEY=VALUE`` each; what is neither a number nor a list is text.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options if options else {}
