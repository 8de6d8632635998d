"""What the command line tools share: arguments and how they change a config."""

import argparse
import os
import os.path as osp

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .distributed import start_gloo


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every tool that runs a config."""
    parser.add_argument('--work-dir', help='where logs and checkpoints go; defaults to work_dirs/CONFIG_NAME')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config: key=value, nested keys with dots, lists as key="[a,b]" (no white space)',
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of tools that run on several devices."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch passes --local-rank, older versions --local_rank
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply ``--cfg-options``, ``--work-dir`` and ``--launcher``.

    Args:
        args (argparse.Namespace): Parsed arguments.

    Returns:
        Config: With ``work_dir`` set: the argument, else the config's, else ``work_dirs/CONFIG_NAME``.

    Raises:
        FileNotFoundError: If the config does not exist.
    """
    if not osp.isfile(args.config):
        raise FileNotFoundError(f'config {args.config!r} does not exist')
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
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


def build_runner(cfg: Config) -> Runner:
    """Build mmengine's runner, or the one that ``cfg.runner_type`` names."""
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        # mmengine's own launchers and wrapper ask for a GPU for each rank
        start_gloo(cfg.launcher)
        cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel', device_ids=None))
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
