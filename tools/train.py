"""Train a model: the classifier, a segmentation model, or any model of mmseg and mmdet."""

import argparse
from pathlib import Path
from urllib.error import URLError

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint

from bana_mm.pipeline.run_header import run_header
from bana_mm.registry import MODELS
from bana_mm.utils.cli import (
    add_common_arguments,
    add_launcher_arguments,
    build_runner,
    enable_amp,
    keep_whole_checkpoints,
    load_config,
)
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.config import config_arguments, run_name
from bana_mm.utils.distributed import leave_together
from bana_mm.utils.interrupt import interruptible
from bana_mm.utils.resources import tool_line


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__,
        __doc__,
        [
            'configs/bana/bap_vgg16_voc.py',
            'configs/bana/deeplabv1_vgg16_voc.py --amp --resume',
            'configs/bana/bap_vgg16_voc.py --data configs/own_data/zoo_voc.py --preset cpu',
            'configs/bana/bap_vgg16_voc.py --cfg-options train_cfg.max_iters=4000 randomness.seed=1',
        ],
    )
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint, or without a value from the latest one in the work directory',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (float16 on GPU, bfloat16 on CPU)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the total batch size'
    )
    add_launcher_arguments(parser)
    return parser.parse_args()


@interruptible('the same command with --resume goes on from the last checkpoint')
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
    runner = build_runner(cfg)
    print_log(run_header(cfg), logger='current')
    try:
        runner.train()
    except URLError as error:  # mmengine's own loading names neither the weights nor a way out
        raise ConnectionError(
            f"{args.config}: its pretrained weights can't be fetched ({error.reason}); how to name a file instead says "
            'docs/weights.md'
        ) from error
    say_done(f'trained {run_name(cfg)}', cfg.work_dir, next_step(cfg, args))
    leave_together(runner)


def next_step(cfg: Config, args: argparse.Namespace) -> str | None:
    """The command that takes the checkpoint."""
    checkpoint = find_latest_checkpoint(cfg.work_dir)
    if checkpoint is None:
        return None
    put_in = config_arguments(dict(data=args.data, preset=args.preset))
    kind = str((cfg.get('model') or {}).get('type'))
    if not kind.startswith('bana_mm.') or not hasattr(MODELS.get(kind), 'label_source'):
        if cfg.get('test_dataloader') is None:  # data without masks
            return tool_line('predict.py', args.config, checkpoint, 'IMAGES', *put_in)
        return tool_line('test.py', args.config, checkpoint, *put_in)
    labels = Path(cfg.work_dir, 'labels')
    return tool_line('generate_labels.py', args.config, checkpoint, *put_in, '--out-dir', labels)


if __name__ == '__main__':
    main()
