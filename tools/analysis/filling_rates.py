"""Filling rates: what share of each box carries its class, for any kinds of labels and for the masks.

Writes OUT_DIR/filling_rates.csv (a line a box), .json (figures of each class) and .png (a violin for each class and
kind of labels). Pixels labelled 255 don't count, for any labels nor for masks; ignored boxes (difficult, crowd) have
no rate.
"""

import argparse
import csv
from pathlib import Path

from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible

# Worker processes import this file too: what only the main process needs is imported in the functions.


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.cli import add_config_arguments
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        ['configs/bana/bap_vgg16_voc.py --labels box grabcut Y_crf=files:LABELS/Y_crf --out-dir work_dirs/filling'],
    )
    parser.add_argument('config', help='any config with boxes in test_dataloader.dataset: gives images and classes')
    parser.add_argument(
        '--labels',
        nargs='+',
        default=[],
        metavar='[NAME=]SOURCE',
        help='kinds of labels: box, grabcut, box_crf; files:DIR for label maps DIR/ID.png, such as '
        'Y_crf=files:LABELS/Y_crf of a label store; or several joined by +',
    )
    parser.add_argument('--out-dir', required=True, help='folder of the results')
    parser.add_argument('--split', default='val', help='list of images, ImageSets/Segmentation/SPLIT.txt')
    parser.add_argument('--no-truth', action='store_true', help="don't ask for masks")
    parser.add_argument(
        '--min-boxes',
        type=int,
        default=10,
        help='classes with fewer boxes get no violins of their own (default: %(default)s)',
    )
    add_run_options(parser, ['workers'], workers=0)  # they pay for grabcut and box_crf
    add_config_arguments(parser)
    args = parser.parse_args()
    if not args.labels and args.no_truth:
        parser.error('nothing to measure: give --labels, or leave --no-truth away')
    return args


def named(sources: list[str]) -> dict[str, str]:
    """Sources by the name in front of =, or by their own."""
    parts = []
    for text in sources:
        name, _, source = text.partition('=')
        parts.append((name, source) if source and ':' not in name else (text, text))
    names = [name for name, _ in parts]
    if len(set(names)) < len(names):
        raise ValueError(f'--labels: {max(names, key=names.count)!r} is there twice; name them with NAME=SOURCE')
    return dict(parts)


def write_boxes(path: Path, boxes: list[tuple[str, str, list[float]]], rates: dict) -> None:
    """A line a box: image, class, corners, and its rate by each kind of labels."""
    from bana_mm.utils.atomic import whole_file
    from bana_mm.utils.table import percent

    with whole_file(path) as partial, open(partial, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['image', 'class', 'x1', 'y1', 'x2', 'y2', *(f'{name}, %' for name in rates)])
        for (img_id, name, box), *values in zip(boxes, *(total.rates for total in rates.values())):
            writer.writerow([img_id, name, *box, *map(percent, values)])


def summarise(rates: dict, class_names: list[str]) -> dict[str, dict]:
    """Figures in percent by kind of labels: over all boxes, over classes, and against the ground truth."""
    import numpy as np

    from bana_mm.evaluation.filling_rates import GROUND_TRUTH
    from bana_mm.utils.table import percent

    def figures(values: np.ndarray) -> dict[str, float | None]:
        values = values[~np.isnan(values)]
        quarters = np.percentile(values, [25, 50, 75]) if len(values) else [np.nan] * 3
        mean = values.mean() if len(values) else np.nan
        return dict(
            boxes=len(values),
            **{
                name: percent(value)
                for name, value in zip(('mean', 'quarter', 'median', 'three_quarters'), (mean, *quarters))
            },
        )

    summary = {}
    for name, total in rates.items():
        summary[name] = dict(mean_of_classes=percent(total.mean()), all=figures(total.rates))
        if name != GROUND_TRUTH and GROUND_TRUTH in rates:
            summary[name].update(
                difference=percent(total.difference(rates[GROUND_TRUTH])),
                distance=percent(total.distance(rates[GROUND_TRUTH])),
            )
        summary[name]['classes'] = {
            class_names[index - 1]: figures(total.of_class(index)) for index in np.unique(total.classes)
        }
    return summary


def rate_table(summary: dict[str, dict], counts: dict[str, int]) -> str:
    """Means of the classes, the frequent ones first, and what tells labels from the ground truth."""
    from bana_mm.utils.table import figure_cell, format_table

    parts = summary.values()
    lines = [
        ['mean of classes', *(figure_cell(part['mean_of_classes']) for part in parts)],
        ['mean of all boxes', *(figure_cell(part['all']['mean']) for part in parts)],
    ]
    if any('difference' in part for part in parts):
        for title, key in (
            ('difference to ground truth, box by box', 'difference'),
            ('distance of distributions', 'distance'),
        ):
            lines.append([title, *(figure_cell(part.get(key)) for part in parts)])
    lines += [
        [f'{name} ({count})', *(figure_cell(part['classes'][name]['mean']) for part in parts)]
        for name, count in counts.items()
    ]
    return format_table(['', *summary], lines)


def violins(rates: dict, counts: dict[str, int], class_names: list[str]) -> dict[str, dict]:
    """Rates of all boxes and of some classes, by kind of labels."""
    groups = {
        f'all\n({len(next(iter(rates.values())).rates)})': {
            name: total.rates[total.rates == total.rates] for name, total in rates.items()
        }
    }
    groups.update(
        {
            f'{name}\n({count})': {kind: total.of_class(class_names.index(name) + 1) for kind, total in rates.items()}
            for name, count in counts.items()
        }
    )
    return groups


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    from collections import Counter

    from bana_mm.evaluation.filling_rates import measure_filling_rates
    from bana_mm.labels import build_label_source
    from bana_mm.labels.data import build_label_dataset
    from bana_mm.utils.atomic import whole_file
    from bana_mm.utils.cli import load_config
    from bana_mm.utils.record import write_json
    from bana_mm.visualization.violins import draw_violins

    cfg = load_config(args)
    sources = {name: build_label_source(source) for name, source in named(args.labels).items()}
    dataset = build_label_dataset(cfg, args.split)
    class_names = list(dataset.metainfo['classes'])
    rates = measure_filling_rates(sources, dataset, not args.no_truth, args.workers)
    boxes = []
    for item in map(dataset.get_data_info, range(len(dataset))):
        kept = [instance for instance in item['instances'] if not instance['ignore_flag']]
        boxes += [(item['img_id'], class_names[instance['bbox_label']], instance['bbox']) for instance in kept]
    counts = dict(Counter(name for _, name, _ in boxes).most_common())

    out_dir = Path(args.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_boxes(out_dir / 'filling_rates.csv', boxes, rates)
    summary = summarise(rates, class_names)
    content = dict(split=args.split, images=len(dataset), labels=summary)
    write_json(out_dir / 'filling_rates.json', content)
    frequent = {name: count for name, count in counts.items() if count >= args.min_boxes}
    figure = draw_violins(
        violins(rates, frequent, class_names),
        'filling rate',
        f'{len(dataset)} images of {args.split}; number of boxes in brackets',
    )
    with whole_file(out_dir / 'filling_rates.png') as partial:
        figure.savefig(partial, format='png', dpi=150)

    print(f'{len(boxes)} boxes in {len(dataset)} images of {args.split}; mean filling rates in percent')
    print(rate_table(summary, counts))
    say_done(f'filling rates of {len(boxes)} boxes, filling_rates.csv, .json and .png', out_dir)


if __name__ == '__main__':
    main()
