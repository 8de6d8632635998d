"""What the command line tools share: arguments and how they change a config."""

import argparse
import os

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .config import read_config
from .distributed import start_gloo
from .options import OptionsAction


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that change the config of a tool, see :func:`bana_mm.utils.config.read_config`."""
    add_data_and_preset(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override settings of the config: key=value, nested keys with dots, lists as key="[a,b]" (no white '
        """space), dictionaries with text in quotes, as key="[dict(type='A')]\"""",
    )


def add_data_and_preset(parser: argparse.ArgumentParser) -> None:
    """The data set and the size that any config takes."""
    parser.add_argument('--data', metavar='FILE', help='a data set of your own, see docs/own_data.md')
    parser.add_argument(
        '--preset', help="sizes for any config: 'cpu' (small crops, few iterations), or a file of your own"
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every tool that runs a config."""
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go; defaults to work_dirs/CONFIG_NAME[_DATA][_PRESET]'
    )
    add_config_arguments(parser)


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of tools that run on several devices."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch passes --local-rank, older versions --local_rank
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply ``--data``, ``--preset``, ``--cfg-options``, ``--work-dir`` and ``--launcher``.

    Args:
        args (argparse.Namespace): Parsed arguments; those that a tool does not have count as not given.

    Returns:
        Config: See :func:`bana_mm.utils.config.read_config`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If data set or preset do not fit the config.
    """
    given = {name: getattr(args, name, None) for name in ('work_dir', 'data', 'preset')}
    cfg = read_config(args.config, args.cfg_options, **given)
    if hasattr(args, 'launcher'):
        cfg.launcher = args.launcher
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return cfg


def enable_amp(cfg: Config) -> None:
    """Train in mixed precision: float16 with loss scaling on a GPU, bfloat16 on a CPU."""
    if torch.cuda.is_available():
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        cfg.optim_wrapper.type = 'bana_mm.BF16OptimWrapper'


def keep_whole_checkpoints(cfg: Config) -> None:
    """Let a training that is killed leave a whole checkpoint, and go on from it as if it had not been killed."""
    hooks = dict(cfg.get('default_hooks') or {})
    checkpoint = hooks.get('checkpoint', dict(type='CheckpointHook'))
    if checkpoint is not None and checkpoint['type'] == 'CheckpointHook':  # None: none are to be written
        cfg.default_hooks = dict(hooks, checkpoint=dict(checkpoint, type='bana_mm.WholeCheckpointHook'))
    others, hook = cfg.get('custom_hooks') or [], dict(type='bana_mm.RandomStateHook')
    if hook not in others:
        cfg.custom_hooks = [*others, hook]


def build_runner(cfg: Config) -> Runner:
    """Build mmengine's runner, or the one that ``cfg.runner_type`` names."""
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        # mmengine's own launchers and wrapper ask for a GPU for each rank
        start_gloo(cfg.launcher)
        cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel', device_ids=None))
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
