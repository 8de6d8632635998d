"""How a run uses the machine: processes, batches, device. None of it changes what comes out, but for rounding."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .worker_pool import TIME_LIMIT


@dataclass(frozen=True)
class RunOptions:
    """Processes, batch size and device, handed from a command line down to what does the work.

    Args:
        workers (int): Processes for what needs no network (the CRF, GrabCut, comparisons), of each rank; 0 does it in
            the main process. Defaults to 0.
        loading_workers (int | None): Processes that read images, of each rank; 0 reads them in the main process.
            Defaults to None, as many as the config's ``test_dataloader`` has, see :meth:`for_config`.
        batch_size (int): Most images of one size that a network sees at once. Defaults to 1.
        device (str): Device of the network. Defaults to 'cpu'.
        time_limit (float): Seconds that a process may take for an image before it is taken to hang; 0 for any.
            Defaults to 600.

    Raises:
        ValueError: If a number is too small; the message names it.
    """

    workers: int = 0
    loading_workers: int | None = None
    batch_size: int = 1
    device: str = 'cpu'
    time_limit: float = TIME_LIMIT

    def __post_init__(self) -> None:
        for name, least in (('workers', 0), ('loading_workers', 0), ('batch_size', 1), ('time_limit', 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f'{name} must be at least {least}, got {value}')

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> 'RunOptions':
        """From a command line to which :func:`add_run_options` has added some of the fields.

        Args:
            args (argparse.Namespace): Parsed arguments. Without ``--device`` it is 'cuda' where there is one.
        """
        given = {name: getattr(args, name) for name in OPTIONS if hasattr(args, name)}
        if given.get('device', '') is None:
            given['device'] = default_device()
        return cls(**given)

    def for_config(self, cfg: Mapping[str, Any]) -> 'RunOptions':
        """The same with a number of loading workers.

        Args:
            cfg (Mapping): A config, whose ``test_dataloader.num_workers`` counts where none was given.
        """
        if self.loading_workers is not None:
            return self
        return replace(self, loading_workers=cfg.get('test_dataloader', {}).get('num_workers', 0))

    def arguments(self) -> list[str]:
        """The command line from which :meth:`from_args` makes these options."""
        given = [(name, getattr(self, name)) for name in OPTIONS]
        given = [(name, value) for name, value in given if value is not None and (name, value) != USUAL_LIMIT]
        return [text for name, value in given for text in (_flag(name), str(value))]


USUAL_LIMIT = ('time_limit', TIME_LIMIT)  # goes without saying

# What each field is called on a command line, and what a tool says about it.
OPTIONS: dict[str, dict[str, Any]] = dict(
    workers=dict(type=int, help='worker processes of each rank for what needs no network, 0 for none (default: {})'),
    loading_workers=dict(
        type=int,
        help="processes of each rank that read images, 0 for none (default: as in the config's test_dataloader)",
    ),
    batch_size=dict(type=int, help='most images of one size that the network sees at once (default: {})'),
    device=dict(help="device of the network (default: 'cuda' where there is one, else 'cpu')"),
    time_limit=dict(
        type=float,
        metavar='SECONDS',
        help='seconds that a process may take for an image; then the image is tried once more, and reported if that '
        'takes as long; 0 for no limit (default: {})',
    ),
)


def add_run_options(
    parser: argparse.ArgumentParser, fields: Sequence[str] = tuple(OPTIONS), workers: int | None = None
) -> None:
    """Add ``--workers``, ``--loading-workers``, ``--batch-size``, ``--device`` and ``--time-limit`` to a command line.

    Args:
        parser (argparse.ArgumentParser): Of the tool.
        fields (Sequence[str]): Those of :class:`RunOptions` that the tool uses. Defaults to all.
        workers (int | None): What ``--workers`` is when it is not given. Defaults to None, one for each core.
    """
    defaults = dict(workers=usable_cores() if workers is None else workers)
    defaults.update(batch_size=RunOptions.batch_size, time_limit=RunOptions.time_limit)
    for name in fields:
        settings = dict(OPTIONS[name], default=defaults.get(name))
        if name == 'workers' and workers is None:
            settings['help'] = settings['help'].format('one for each core, here %(default)s')
        settings['help'] = settings['help'].format('%(default)s')
        parser.add_argument(_flag(name), **settings)


def usable_cores() -> int:
    """Cores that this process may run on; the ranks that torchrun starts on a machine share them. At least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get('LOCAL_WORLD_SIZE', 1)))


def default_device() -> str:
    """'cuda' where there is one, else 'cpu'."""
    import torch  # not needed before a command line is complete

    return 'cuda' if torch.cuda.is_available() else 'cpu'


def _flag(field: str) -> str:
    return f'--{field.replace("_", "-")}'
