"""Precision and recall of CAM and background attention inside boxes against masks, for one or more classifiers.

Three scores are measured over all thresholds: the CAM of the box's class divided by its maximum in the box; 1 - A; and
1 - A stretched to [0, 1] in each box. Writes OUT_DIR/cam_precision.json and .png. Figures are means over the classes
that occur, or over those of --classes; precision has none where nothing of some class passes the threshold.
"""

import argparse
from pathlib import Path

from bana_mm.evaluation.cam_precision import SCORES, measure_cams
from bana_mm.evaluation.label_tables import class_indices
from bana_mm.labels.classifier import build_classifier
from bana_mm.labels.data import build_label_dataset
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.cli import add_config_arguments
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.config import read_config
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible
from bana_mm.utils.record import write_json
from bana_mm.utils.run_options import RunOptions, add_run_options
from bana_mm.utils.table import figure_cell, format_table, percent
from bana_mm.visualization.curves import Curve, draw_precision_recall

STYLES = dict(zip(SCORES, ('-', ':', '--')))


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__,
        __doc__,
        ['BAP=configs/bana/bap_vgg16_voc.py,bap.pth GAP=configs/bana/gap_vgg16_voc.py,gap.pth --out-dir CAMS'],
    )
    parser.add_argument(
        'models',
        nargs='+',
        metavar='NAME=CONFIG,CHECKPOINT',
        help='classifiers, such as BAP=configs/bana/bap_vgg16_voc.py,bap.pth',
    )
    parser.add_argument('--out-dir', required=True, help='folder of the results')
    parser.add_argument('--split', default='val', help='list of images with masks, ImageSets/Segmentation/SPLIT.txt')
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.5,
        help='where precision and recall are printed, in steps of 0.01 (default: %(default)s)',
    )
    parser.add_argument('--classes', default='', help='comma-separated classes of the means (default: all that occur)')
    add_run_options(parser, ['device'])
    add_config_arguments(parser)  # of every config
    args = parser.parse_args()
    for text in args.models:
        if '=' not in text or ',' not in text.partition('=')[2]:
            parser.error(f'{text!r} is not NAME=CONFIG,CHECKPOINT')
    names = [text.partition('=')[0] for text in args.models]
    if len(set(names)) < len(names):
        parser.error(f'the name {max(names, key=names.count)!r} is there twice')
    steps = 100 * args.threshold
    if not 0 <= args.threshold <= 1 or abs(steps - round(steps)) > 1e-6:
        parser.error(f'--threshold must be 0, 0.01, .. or 1, got {args.threshold}')
    return args


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    device = RunOptions.from_args(args).device
    models = {}
    for text in args.models:  # finds out what is missing before anything runs
        name, _, files = text.partition('=')
        config, checkpoint = files.split(',', 1)
        cfg = read_config(config, args.cfg_options, data=args.data, preset=args.preset)
        models[name] = build_label_dataset(cfg, args.split), build_classifier(cfg, checkpoint, device)

    curves, results, rows = {}, {}, []
    for colour, (name, (dataset, model)) in enumerate(models.items(), start=1):
        class_names = dataset.metainfo['classes']
        chosen = class_indices(args.classes.split(','), class_names) if args.classes else None
        measured = measure_cams(model, dataset, title=name)
        results[name] = dict(boxes=measured.boxes, boxes_without_cam=measured.without_cam, scores={})
        for score, counts in measured.curves.items():
            precision, recall = counts.mean_curve(chosen)
            mark = counts.index(args.threshold)
            curves[f'{name}: {score}'] = Curve(counts.thresholds, precision, recall, mark, colour, STYLES[score])
            figures = dict(
                precision=precision[mark],
                recall=recall[mark],
                average_precision=counts.mean_average_precision(chosen),
                object_share=precision[0],
            )
            figures = {key: percent(value) for key, value in figures.items()}
            rows.append([f'{name}: {score}', *map(figure_cell, figures.values())])
            by_class = {
                class_names[index - 1]: dict(
                    precision=percent(counts.precision(index)[mark]),
                    recall=percent(counts.recall(index)[mark]),
                    average_precision=percent(counts.average_precision(index)),
                )
                for index in counts.present
            }
            curve = dict(precision=[percent(value) for value in precision], recall=[percent(v) for v in recall])
            results[name]['scores'][score] = dict(**figures, classes=by_class, curve=curve)

    out_dir = Path(args.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    content = dict(split=args.split, threshold=args.threshold, classes=args.classes or None, models=results)
    write_json(out_dir / 'cam_precision.json', content)
    means = f'means over {args.classes or "all classes that occur"}'
    title = f'Inside the boxes of {args.split}, {means}; points: threshold {args.threshold:g}'
    with whole_file(out_dir / 'cam_precision.png') as partial:
        draw_precision_recall(curves, title).savefig(partial, format='png', dpi=150)
    print(f'inside the boxes of {args.split}, in percent, at threshold {args.threshold:g}; {means}')
    print(format_table(['', 'precision', 'recall', 'average precision', 'object share'], rows))
    for name, result in results.items():
        print(f'{name}: {result["boxes"]} boxes, the CAM is zero everywhere in {result["boxes_without_cam"]}')
    say_done(f'precision and recall of {len(results)} classifiers, cam_precision.json and .png', out_dir)


if __name__ == '__main__':
    main()
