"""Test a model: the classifier, a segmentation model, or any model of mmseg and mmdet."""

import argparse
import os.path as osp
import sys
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from bana_mm.datasets.image_ids import DistinctNames, prediction_name
from bana_mm.datasets.named_steps import pipeline_steps
from bana_mm.evaluation.voc_server import (
    ARCHIVES,
    COMPETITIONS,
    NUM_TEST_IMAGES,
    archive_stem,
    check_voc_classes,
    pack_results,
    results_folder,
)
from bana_mm.utils.checkpoint import require_checkpoint, weight_problems
from bana_mm.utils.cli import add_common_arguments, add_launcher_arguments, build_runner, load_config
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.config import config_arguments
from bana_mm.utils.distributed import leave_together
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible
from bana_mm.utils.resources import tool_line
from bana_mm.utils.safe_loading import weights_in


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__,
        __doc__,
        [
            'configs/bana/deeplabv1_vgg16_voc.py CHECKPOINT',
            'configs/bana/deeplabv1_vgg16_voc.py CHECKPOINT --all --out PREDICTIONS',
            'configs/bana/deeplabv1_vgg16_voc.py CHECKPOINT --show-dir PAINTED',
        ],
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    views = parser.add_mutually_exclusive_group()
    views.add_argument('--tta', action='store_true', help="test-time augmentation with the config's tta_model")
    views.add_argument(
        '--all',
        action='store_true',
        help='single scale and test-time augmentation, each without and with the CRF of test_evaluator: four figures '
        'in one run (segmentation); --out takes the predictions of the last',
    )
    parser.add_argument('--out', help='save predictions: a folder of label PNGs (mmseg), or a .pkl file (mmdet)')
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='save predictions without scoring them, for images without annotations; with mmdet, --out is the prefix '
        'of the JSON files',
    )
    parser.add_argument(
        '--server-archive',
        metavar='FILE',
        help=f'pack predictions for the evaluation server of PASCAL VOC into this file ({", ".join(ARCHIVES)}); the '
        'label PNGs stay in --out, which defaults to FILE without its ending',
    )
    parser.add_argument(
        '--competition',
        choices=COMPETITIONS,
        default='comp6',
        help='; '.join(f'{name}: {text}' for name, text in COMPETITIONS.items()) + '; default comp6',
    )
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='save painted predictions in this folder')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show leaves a window open')
    add_launcher_arguments(parser)
    args = parser.parse_args()
    if args.format_only and not (args.out or args.server_archive):
        parser.error('--format-only needs --out or --server-archive')
    if args.format_only and args.all:
        parser.error('--all is for figures, of which --format-only gives none: use --tta')
    return args


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Turn the visualization hook on."""
    hook = cfg.default_hooks.get('visualization')
    if hook is None:
        raise ValueError(
            f'{args.config}: --show and --show-dir need default_hooks.visualization, for example '
            f"dict(type='{'Det' if cfg.default_scope == 'mmdet' else 'Seg'}VisualizationHook')"
        )
    hook.draw = True
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        if cfg.default_scope == 'mmdet':
            hook.test_out_dir = osp.abspath(args.show_dir)  # mmdet's hook puts others below the work directory
        else:
            cfg.visualizer.save_dir = args.show_dir
            hook.interval = 1  # mmseg's hook draws every 50th image otherwise


def evaluators(cfg: Config) -> list[dict[str, Any]]:
    """The config's test metrics, one or more."""
    return list(cfg.test_evaluator) if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]


def iou_metric(cfg: Config, option: str) -> dict[str, Any]:
    """The config's metric that knows the CRF and palettes."""
    for metric in evaluators(cfg):
        if metric['type'] == 'bana_mm.DenseCRFIoUMetric':
            return metric
    raise ValueError(
        f"{cfg.filename}: {option} needs test_evaluator=dict(type='bana_mm.DenseCRFIoUMetric', "
        "iou_metrics=['mIoU'], crf=dict(bilateral=(4, 121, 5), gaussian=(3, 3)))"
    )


def save_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Have the metric, or mmdet's dumper, write the predictions."""
    metrics = evaluators(cfg)
    if cfg.default_scope != 'mmdet':
        if metrics[0]['type'] in ('IoUMetric', 'mmseg.IoUMetric'):  # names predictions after images without subfolders
            metrics[0]['type'] = 'bana_mm.DenseCRFIoUMetric'
        metrics[0].update(output_dir=args.out, keep_results=True)
    elif args.format_only:
        metrics[0].update(outfile_prefix=args.out)
    elif args.out.endswith(('.pkl', '.pickle')):
        cfg.test_evaluator = [*metrics, dict(type='DumpDetResults', out_file_path=args.out)]
    else:
        raise ValueError(f'--out {args.out}: the predictions of a detector go into one .pkl file')


def skip_annotations(cfg: Config) -> None:
    """Let the test images come without annotations, and score nothing."""
    for metric in evaluators(cfg):
        metric['format_only'] = True
    dataset = cfg.test_dataloader.dataset
    if dataset.type == 'bana_mm.VOCBoxDataset':
        dataset.update(require_masks=False, require_boxes=False)
    dataset.pipeline = without_annotations(pipeline_steps(dataset.pipeline))
    if 'tta_pipeline' in cfg:
        cfg.tta_pipeline = without_annotations(cfg.tta_pipeline)


def without_annotations(transforms: list) -> list:
    """A pipeline without ``LoadAnnotations``; lists that held nothing else go too, as ``TestTimeAug`` needs."""
    kept = []
    for transform in transforms:
        if isinstance(transform, (list, tuple)):
            transform = without_annotations(transform)
            if not transform:
                continue
        elif transform['type'].split('.')[-1] == 'LoadAnnotations':
            continue
        elif 'transforms' in transform:
            transform = {**transform, 'transforms': without_annotations(transform['transforms'])}
        kept.append(transform)
    return kept


def use_tta(cfg: Config, option: str) -> None:
    """Wrap the model and take the augmenting pipeline; for ``--all``, beside the ordinary one."""
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing:
        raise ValueError(f'{cfg.filename}: {option} needs {" and ".join(missing)} in the config')
    pipeline = cfg.tta_pipeline
    if option == '--all':
        iou_metric(cfg, option).with_crf = True
        plain = pipeline_steps(cfg.test_dataloader.dataset.pipeline)
        pipeline = [dict(type='bana_mm.PlainAndAugmented', plain=plain, augmented=pipeline)]
    cfg.test_dataloader.dataset.pipeline = pipeline
    cfg.model = {**cfg.tta_model, 'module': cfg.model}


def check_tta_model(model: nn.Module, cfg: Config, option: str) -> None:
    """Raise where a CRF would refine something else than the merged logits, such as those of the last view."""
    if not any(metric.get('with_crf') for metric in evaluators(cfg)):
        return
    from bana_mm.models.segmentors import LogitTTAModel  # needs mmseg, as the CRF's metric does

    model = model.module if is_model_wrapper(model) else model
    if not isinstance(model, LogitTTAModel):
        raise ValueError(
            f'{cfg.filename}: {option} with a CRF needs tta_model=dict(type="bana_mm.LogitTTAModel"), '
            f'which holds the merged logits; {type(model).__name__} does not'
        )


def check_checkpoint(model: nn.Module, checkpoint: str, config: str) -> None:
    """Raise where weights are missing: mmengine only warns, and then tests a random model."""
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    while isinstance(model, BaseTTAModel) or is_model_wrapper(model):
        model = model.module
    problems = weight_problems(model, weights_in(loaded, checkpoint), strict=False)
    if problems:
        raise ValueError(f'{checkpoint}: checkpoint of another model than {config}: {"; ".join(problems)}')


def name_predictions(runner: Runner) -> None:
    """Let predictions of images in subfolders go into the same subfolders of the output.

    Raises:
        ValueError: If two images would share a prediction; the message names both.
    """
    dataset = runner.test_dataloader.dataset
    images = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    prefix = getattr(dataset, 'data_prefix', None) or {}
    folder = prefix.get('img_path') or prefix.get('img') or osp.commonpath([osp.dirname(path) for path in images])
    distinct = DistinctNames('--out: the prediction')
    for path in images:
        distinct.add(prediction_name(path, folder), path)
    for metric in runner.test_evaluator.metrics:
        if hasattr(metric, 'img_dir'):
            metric.img_dir = folder


def pack_for_server(runner: Runner, args: argparse.Namespace) -> None:
    """Put the label maps of the test set into the archive, in one process."""
    dataset = runner.test_dataloader.dataset
    images = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    count = pack_results(args.out, images, args.server_archive, args.competition)
    print(f'{args.server_archive}: {count} label maps in {results_folder(args.competition)}')
    if count != NUM_TEST_IMAGES:
        print(f'note: the test split of VOC2012 has {NUM_TEST_IMAGES} images (ImageSets/Segmentation/test.txt)')


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    require_checkpoint(args.checkpoint, args.config)
    if cfg.get('test_dataloader') is None:
        put_in = config_arguments(dict(data=args.data, preset=args.preset))
        sys.exit(
            f'test: {args.data or args.config} has no images with masks to test on (val or test). To see what the '
            f'model makes of images: {tool_line("predict.py", args.config, args.checkpoint, "IMAGES", *put_in)}'
        )
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if args.format_only:
        skip_annotations(cfg)
    if args.server_archive:
        args.out = args.out or str(archive_stem(args.server_archive))
        metric = iou_metric(cfg, '--server-archive')
        metric.output_dir = osp.join(args.out, results_folder(args.competition))
    elif args.out:
        save_predictions(cfg, args)
    option = '--all' if args.all else '--tta'
    if args.all or args.tta:
        use_tta(cfg, option)
    runner = build_runner(cfg)
    check_checkpoint(runner.model, args.checkpoint, args.config)
    if args.out and cfg.default_scope != 'mmdet':
        name_predictions(runner)
    if args.server_archive:
        check_voc_classes(runner.test_dataloader.dataset.metainfo.get('classes'))
    if args.all or args.tta:
        check_tta_model(runner.model, cfg, option)
    scores = runner.test()
    if args.server_archive and is_main_process():
        pack_for_server(runner, args)
    say_done(f'tested {args.checkpoint}{told(scores)}', args.server_archive or args.out or cfg.work_dir)
    leave_together(runner)


def told(scores: Mapping[str, Any] | None) -> str:
    """The figures that count, those of means."""
    means = {name: value for name, value in (scores or {}).items() if 'mIoU' in name or name.endswith('mAP')}
    return ''.join(f', {name} {value:.4g}' for name, value in means.items())


if __name__ == '__main__':
    main()
