"""Test a model: the classifier, a segmentation model, or any model of mmseg and mmdet."""

import argparse
import os.path as osp

from mmengine.config import Config
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from bana_mm.utils.checkpoint import weight_problems
from bana_mm.utils.cli import add_common_arguments, add_launcher_arguments, build_runner, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    parser.add_argument('--tta', action='store_true', help="test-time augmentation with the config's tta_model")
    parser.add_argument('--out', help='save predictions: a folder of label PNGs (mmseg), or a .pkl file (mmdet)')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='save painted predictions in this folder')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show leaves a window open')
    add_launcher_arguments(parser)
    return parser.parse_args()


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Turn the visualization hook on."""
    hook = cfg.default_hooks.get('visualization')
    if hook is None:
        raise ValueError(f'{args.config}: --show and --show-dir need default_hooks.visualization, for example '
                         "dict(type='SegVisualizationHook')")
    hook.draw = True
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        if cfg.default_scope == 'mmdet':
            hook.test_out_dir = args.show_dir
        else:
            cfg.visualizer.save_dir = args.show_dir
            hook.interval = 1  # mmseg's hook draws every 50th image otherwise


def save_predictions(cfg: Config, out: str) -> None:
    """Have the metric, or mmdet's dumper, write the predictions."""
    if cfg.default_scope == 'mmdet':
        if not out.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--out {out}: the predictions of a detector go into one .pkl file')
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
        cfg.test_evaluator = [*evaluators, dict(type='DumpDetResults', out_file_path=out)]
    else:
        cfg.test_evaluator.update(output_dir=out, keep_results=True)


def use_tta(cfg: Config, config: str) -> None:
    """Wrap the model and take the augmenting pipeline."""
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing:
        raise ValueError(f'{config}: --tta needs {" and ".join(missing)} in the config')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = {**cfg.tta_model, 'module': cfg.model}


def check_checkpoint(model: nn.Module, checkpoint: str, config: str) -> None:
    """Raise where weights are missing: mmengine only warns, and then tests a random model."""
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    model = model.module if isinstance(model, BaseTTAModel) or is_model_wrapper(model) else model
    problems = weight_problems(model, loaded.get('state_dict', loaded), strict=False)
    if problems:
        raise ValueError(f'{checkpoint}: checkpoint of another model than {config}: {"; ".join(problems)}')


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if not osp.isfile(args.checkpoint) and '://' not in args.checkpoint:
        raise FileNotFoundError(f'checkpoint {args.checkpoint!r} does not exist')
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if args.tta:
        use_tta(cfg, args.config)
    if args.out:
        save_predictions(cfg, args.out)
    runner = build_runner(cfg)
    check_checkpoint(runner.model, args.checkpoint, args.config)
    runner.test()


if __name__ == '__main__':
    main()
