"""The commands that make labels which are not there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config


def label_commands(made_by: Mapping[str, Any] | None, arguments: str) -> list[str]:
    """Commands for the training of the classifier, unless its checkpoint is there, and the making of labels.

    Args:
        made_by (Mapping | None): ``config`` (of the classifier) and ``checkpoint`` (None means the one at which a
            training with that config ends). What is not given shows as a word in capitals.
        arguments (str): Further arguments of ``tools/generate_labels.py``.

    Returns:
        list[str]: Lines for a shell.
    """
    made_by = made_by or {}
    config, checkpoint = made_by.get('config') or 'CONFIG', made_by.get('checkpoint')
    if checkpoint is None and Path(config).is_file():
        classifier = Config.fromfile(config)
        work_dir = classifier.get('work_dir') or f'work_dirs/{Path(config).stem}'
        checkpoint = f'{work_dir}/iter_{classifier.train_cfg.max_iters}.pth'
    train = [] if checkpoint is not None and Path(checkpoint).is_file() else [f'python tools/train.py {config}']
    return [*train, f'python tools/generate_labels.py {config} {checkpoint or "CHECKPOINT"} {arguments}']
