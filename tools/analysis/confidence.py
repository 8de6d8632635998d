"""How well the confidence sigma (paper Eq. 11 and 12) tells right labels from wrong ones, for one or more checkpoints.

Sigma weights the labels of doubted pixels, those that are not reliable. Here it is compared with the masks of training
images: `right` is the share of the doubted labels that are right, `by weight` the same with each pixel weighted by
its sigma, as in the noise-aware loss. The nearer the two, the less the loss gains.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, MODELS, init_default_scope

from bana_mm.datasets.training_example import TrainingExample, load_example
from bana_mm.datasets.wrappers import base_datasets
from bana_mm.evaluation.confidence import measure_confidence
from bana_mm.labels.classifier import load_strictly
from bana_mm.utils.cli import add_config_arguments, load_config
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible
from bana_mm.utils.progress import Progress
from bana_mm.utils.record import write_json
from bana_mm.utils.run_options import RunOptions, add_run_options
from bana_mm.utils.table import figure_cell, format_table, percent

COLUMNS = dict(
    doubted='doubted %',
    right='right %',
    right_by_weight='by weight %',
    sigma_right='sigma, right %',
    sigma_wrong='sigma, wrong %',
    average_precision='AP %',
)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__,
        __doc__,
        ['configs/bana/deeplabv1_vgg16_voc.py work_dirs/deeplabv1_vgg16_voc/iter_23805.pth --images 200'],
    )
    parser.add_argument(
        'config',
        help='config of a segmentation model with a cosine classifier; its training images '
        'are measured with their labels',
    )
    parser.add_argument('checkpoints', nargs='+', help='checkpoints of the model')
    parser.add_argument('--images', type=int, help='take that many, evenly spread over the data set (default: all)')
    parser.add_argument('--gamma', type=float, help="damping of Eq. 12 (default: the loss's, or else 7)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')
    add_run_options(parser, ['device'])
    add_config_arguments(parser)
    return parser.parse_args()


def counted(items: Iterable[tuple[dict, BaseDataset]], progress: Progress) -> Iterator[TrainingExample]:
    """Load the images one by one."""
    for item, dataset in items:
        yield load_example(item, dataset)
        progress.update()


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = MODELS.build(cfg.model)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [(inner.get_data_info(index), inner) for inner in base_datasets(dataset) for index in range(len(inner))]
    count = min(args.images or len(items), len(items))
    items = [items[len(items) * number // count] for number in range(count)]

    results = {}
    for checkpoint in args.checkpoints:
        load_strictly(model, checkpoint, args.config)
        model.to(RunOptions.from_args(args).device).eval()
        with Progress(count, title=checkpoint) as progress:
            figures = measure_confidence(model, counted(items, progress), args.gamma).figures()
        results[checkpoint] = {name: percent(value) for name, value in figures.items()}
    print(f'{count} training images')
    print(
        format_table(
            ['', *COLUMNS.values()],
            [[name, *(figure_cell(figures[key]) for key in COLUMNS)] for name, figures in results.items()],
        )
    )
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.json, dict(config=args.config, images=count, checkpoints=results))
    say_done(f'the confidence of {len(results)} checkpoints on {count} images', args.json)


if __name__ == '__main__':
    main()
