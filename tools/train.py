"""Train a model: the classifier, a segmentation model, or any model of mmseg and mmdet."""

import argparse

from mmengine.runner import find_latest_checkpoint

from bana_mm.utils.cli import (
    add_common_arguments,
    add_launcher_arguments,
    build_runner,
    enable_amp,
    keep_whole_checkpoints,
    load_config,
)
from bana_mm.utils.distributed import leave_together


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or without a value from the latest one in the work directory',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (float16 on GPU, bfloat16 on CPU)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the total batch size'
    )
    add_launcher_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(f'{args.config}: --auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    # mmengine would resume from the config's load_from; nothing to go on from is an ordinary start, with its weights
    found = find_latest_checkpoint(cfg.work_dir) if args.resume == 'auto' else args.resume
    if found is not None:
        cfg.resume = True
        cfg.load_from = found
    keep_whole_checkpoints(cfg)
    build_runner(cfg).train()
    leave_together()


if __name__ == '__main__':
    main()
