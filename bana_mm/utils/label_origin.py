"""Which classifier makes the labels of a training, whether its checkpoint is there, and the commands that are left.

The pipeline, the check before a training, and all messages about missing labels go by what is decided here.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .config import config_arguments, read_config
from .resources import tool_line


@dataclass(frozen=True)
class LabelOrigin:
    """A classifier as ``pseudo_labels`` of a config names it.

    Args:
        config (str | None): File of its config, as given. None where nothing says.
        checkpoint (Path | None): The one that labels are made with, there or not. None where nothing says.
        trains (bool): Whether a training with ``config`` ends with this checkpoint.
        arguments (tuple[str, ...]): What puts the data set and the preset into its config, for command lines. Defaults
            to none.
    """

    config: str | None
    checkpoint: Path | None
    trains: bool
    arguments: tuple[str, ...] = ()

    @classmethod
    def from_cfg(cls, pseudo_labels: Mapping[str, Any] | None, classifier: Config | None = None) -> 'LabelOrigin':
        """Read ``pseudo_labels``.

        Args:
            pseudo_labels (Mapping | None): ``config`` and ``checkpoint``, and ``data`` and ``preset`` that are put into
                the config, see :func:`bana_mm.utils.config.read_config`; a checkpoint that is missing or None means the
                one at which a training with that config ends.
            classifier (Config | None): The config, where it was read already, maybe with other settings. Defaults to
                None, it is read here; a file that does not exist counts as a name.
        """
        labels = pseudo_labels or {}
        config, given, arguments = labels.get('config'), labels.get('checkpoint'), tuple(config_arguments(labels))
        if classifier is None and config is not None:
            try:
                classifier = read_config(config, data=labels.get('data'), preset=labels.get('preset'))
            except FileNotFoundError:
                pass
        trains_nothing = classifier is None or (given is not None and classifier.get('train_cfg') is None)
        final = None if trains_nothing else final_checkpoint(classifier, classifier.work_dir)
        if given is None:
            return cls(config, final, True, arguments)
        trains = final is not None and Path(given).resolve() == final.resolve()
        return cls(config, Path(given), trains, arguments)

    def has_checkpoint(self) -> bool:
        """Whether labels can be made now."""
        if self.checkpoint is None:
            return False
        return is_trained(self.checkpoint) if self.trains else self.checkpoint.is_file()

    def problem(self) -> str | None:
        """What no command mends: a checkpoint that is neither there nor what a training would write."""
        if self.trains or self.has_checkpoint():
            return None
        return (
            f'pseudo_labels.checkpoint {str(self.checkpoint)!r} does not exist; correct it, or set it to None to train '
            f'{self.config or "the classifier"} first'
        )

    def commands(self, *arguments: object) -> list[str]:
        """What to type: the training of the classifier unless its checkpoint is there, and the making of labels.

        Args:
            *arguments: Further arguments of ``tools/generate_labels.py``.

        Returns:
            list[str]: Lines for a shell. What nothing says shows as a word in capitals.
        """
        config = self.config or 'CONFIG'
        train = [] if self.has_checkpoint() else [tool_line('train.py', config, *self.arguments)]
        arguments += self.arguments
        return [*train, tool_line('generate_labels.py', config, self.checkpoint or 'CHECKPOINT', *arguments)]

    def remedy(self, *arguments: object) -> str:
        """A sentence that begins after the statement of what is missing, and ends without a full stop.

        Args:
            *arguments: See :meth:`commands`.
        """
        problem = self.problem()
        if problem is not None:
            return f'They can not be made as things are: {problem}'
        return 'Make them with\n' + ''.join(f'    {line}\n' for line in self.commands(*arguments)) + 'and start again'


def final_checkpoint(cfg: Config, work_dir: str | os.PathLike) -> Path:
    """The checkpoint that a finished training leaves in its work directory.

    Args:
        cfg (Config): The training's config.
        work_dir (str | os.PathLike): Its work directory.

    Raises:
        ValueError: If the config trains nothing.
    """
    loop = cfg.get('train_cfg') or {}
    if loop.get('max_iters') is not None:
        return Path(work_dir) / f'iter_{loop["max_iters"]}.pth'
    if loop.get('max_epochs') is not None:
        return Path(work_dir) / f'epoch_{loop["max_epochs"]}.pth'
    raise ValueError(f'{cfg.filename}: train_cfg has neither max_iters nor max_epochs')


def is_trained(checkpoint: Path) -> bool:
    """Whether a training has written a checkpoint completely: mmengine names it in ``last_checkpoint`` after that."""
    record = last_checkpoint_file(checkpoint.parent)
    return checkpoint.is_file() and record.is_file() and Path(record.read_text().strip()).name == checkpoint.name


def last_checkpoint_file(work_dir: str | os.PathLike) -> Path:
    """Where mmengine names the last checkpoint of a training."""
    return Path(work_dir) / 'last_checkpoint'
