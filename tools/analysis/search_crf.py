"""Search the CRF's parameters on images with masks: a grid over all values given, best mean IoU first.

With a classifier (model.type bana_mm.BoxClassifier) the CRF is that of the labels: its unaries are those of the
config's label_recipe, its result Y_crf. With a segmentation model it is the CRF at test time, on the softmax of the
logits.

The network runs once for every image; what the CRF needs of it is kept in WORK_DIR/inputs. Every point that is done is
a line of WORK_DIR/search.csv. If it is stopped, the same command continues the search, also with more values.
Parameters without values keep the config's: model.label_recipe.crf, or test_evaluator.crf.
"""

import argparse
import math
from pathlib import Path

from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import interruptible

# Worker processes import this file too: what only the main process needs is imported in main().

OPTIONS = dict(
    bilateral_weight='weights of the kernel of position and colour',
    bilateral_xy='its standard deviations of the position, in pixels',
    bilateral_rgb='its standard deviations of the colour, in 8-bit steps',
    gaussian_weight='weights of the kernel of position alone',
    gaussian_xy='its standard deviations, in pixels',
    iterations='mean-field steps; 0 leaves the unaries as they are',
    temperature="factors on the temperature of the softmax that made the unaries (default: 1, the config's)",
)


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.cli import add_config_arguments
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        ['configs/bana/bap_vgg16_voc.py CHECKPOINT --work-dir work_dirs/crf --bilateral-rgb 3 5 8 --gaussian-xy 1 3'],
    )
    parser.add_argument('config', help='config of a classifier or of a segmentation model')
    parser.add_argument('checkpoint', help='checkpoint trained with it')
    parser.add_argument('--work-dir', required=True, help='folder of inputs and results')
    parser.add_argument(
        '--split',
        default='train_aug',
        help='list of images with masks, ImageSets/Segmentation/SPLIT.txt (default: %(default)s); take '
        'one that neither the network was trained on nor scores are reported on',
    )
    parser.add_argument('--number', type=int, default=100, help='how many, the first of them (default: %(default)s)')
    grid = parser.add_argument_group('values to try')
    for name, text in OPTIONS.items():
        grid.add_argument(
            f'--{name.replace("_", "-")}',
            nargs='+',
            type=int if name == 'iterations' else float,
            metavar='X',
            help=text,
        )
    parser.add_argument(
        '--classes',
        default='',
        help='comma-separated: the best has the largest mean over the background and these '
        '(default: all classes that the masks hold)',
    )
    parser.add_argument('--top', type=int, default=10, help='how many points to print (default: %(default)s)')
    add_run_options(parser, ['workers', 'device'])
    add_config_arguments(parser)
    args = parser.parse_args()
    if args.number < 1:
        parser.error(f'--number must be at least 1, got {args.number}')
    return args


def default_values(crf: dict) -> dict[str, list[float]]:
    """A grid of one point from the arguments of ``dense_crf``."""
    from inspect import signature

    from bana_mm.functional import dense_crf

    crf = {name: parameter.default for name, parameter in signature(dense_crf).parameters.items()} | dict(crf)
    # A kernel that is left out has weight 0; the rest of it then has no effect.
    values = [*(crf['bilateral'] or (0, 1, 1)), *(crf['gaussian'] or (0, 1)), crf['iterations'], 1.0]
    return {name: [value] for name, value in zip(OPTIONS, values)}


@interruptible()
def main() -> None:
    args = parse_args()
    from mmengine.registry import MODELS, init_default_scope

    from bana_mm.datasets.metainfo import without_background
    from bana_mm.evaluation.label_tables import class_indices
    from bana_mm.labels.classifier import build_classifier, describe_run, load_strictly
    from bana_mm.labels.data import build_label_dataset
    from bana_mm.search.crf_search import SearchTable, grid, search_crf
    from bana_mm.search.crf_search_inputs import describe_images, label_network, prediction_network, store_inputs
    from bana_mm.structures import LabelRecipe
    from bana_mm.utils.cli import load_config
    from bana_mm.utils.config import run_name
    from bana_mm.utils.record import keep_record, model_settings
    from bana_mm.utils.run_options import RunOptions
    from bana_mm.utils.table import format_table

    cfg = load_config(args)
    options = RunOptions.from_args(args)
    makes_labels = 'bap_head' in cfg.model
    if makes_labels:
        recipe = LabelRecipe.from_cfg(cfg.model.get('label_recipe')).to_dict()
        crf = recipe.pop('crf')
    else:
        recipe, crf = None, cfg.test_evaluator.get('crf', {})

    values = default_values(crf)
    values.update({name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None})
    points = grid(values)
    dataset = build_label_dataset(cfg, args.split)
    classes = without_background(dataset.metainfo['classes'])
    chosen = class_indices([name for name in args.classes.split(',') if name], classes) if args.classes else None
    indices = range(min(args.number, len(dataset)))

    work_dir = Path(args.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    keep_record(
        work_dir / 'search.json',
        dict(
            describe_run(f'{run_name(cfg)}.py', args.checkpoint, recipe, classes),
            preprocessing=cfg.model.get('data_preprocessor'),
            model=model_settings(cfg.model),
            backend=crf.get('backend', 'auto'),
            data=describe_images(dataset, indices),
        ),
    )
    table = SearchTable(work_dir / 'search.csv', classes)

    def network():
        if makes_labels:
            return label_network(build_classifier(cfg, args.checkpoint, options.device))
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        model = MODELS.build(cfg.model)
        load_strictly(model, args.checkpoint, args.config)
        return prediction_network(model.to(options.device).eval())

    images = store_inputs(dataset, indices, work_dir / 'inputs', network)
    search_crf(points, images, table, options.workers, crf.get('backend', 'auto'))

    ranking = table.ranking(points, chosen)
    best = ranking[0]
    if math.isnan(table.mean_iou(best, chosen)):
        raise ValueError(f'--classes {args.classes}: the masks hold none of them')
    print(f'{len(points)} points, {len(images)} images of {args.split}, mean IoU in percent; all in {table.path}')
    header = [name.replace('_', ' ') for name in OPTIONS]
    print(
        format_table(
            ['rank', *header, 'mIoU'] + (['mIoU, chosen'] if chosen else []),
            [
                [str(rank), *(f'{value:g}' for value in point), f'{table.mean_iou(point):.2f}']
                + ([f'{table.mean_iou(point, chosen):.2f}'] if chosen else [])
                for rank, point in enumerate(ranking[: args.top], start=1)
            ],
        )
    )
    print(
        f'best: {"model.label_recipe.crf" if makes_labels else "test_evaluator.crf"} = dict('
        + ', '.join(f'{name}={_plain(value)}' for name, value in best.crf.items())
        + ')'
        + (f', with the temperature of the softmax times {best.temperature:g}' if best.temperature != 1 else '')
    )
    say_done(f'{len(points)} points on {len(images)} images', table.path, 'the same command with more values goes on')


def _plain(value: float | tuple[float, ...]) -> str:
    return f'({", ".join(f"{v:g}" for v in value)})' if isinstance(value, tuple) else f'{value:g}'


if __name__ == '__main__':
    main()
