"""Whether the masks that sources make of boxes are as good as they say.

Each source's masks are judged without their true masks (see bana_mm/labels/trust.py), then compared with these: how the
score ranks them by their IoU, what the better half is worth, and how many wrong pixels are among the unreliable ones.
A+B stands for the masks of A, compared with those of B.
"""

import argparse
import json
import os
from pathlib import Path

from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible

# Worker processes import this file too: what only the main process needs is imported in the functions.


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.cli import add_config_arguments
    from bana_mm.utils.options import OptionsAction
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        [
            '--sources grabcut+box_crf box_crf+grabcut --split val --images 24',
            '--sources grabcut+box_crf --coco instances_train2017.json --images 20',
            '--sources grabcut+box_crf box_crf+grabcut --split train_aug --fit',
        ],
    )
    parser.add_argument('config', nargs='?', help='config of the classifier, or of any model on the images')
    parser.add_argument('--sources', nargs='+', required=True, metavar='A[+B]', help='sources of masks')
    parser.add_argument('--coco', metavar='MASKS.json', help="COCO's JSON of instances with true masks")
    parser.add_argument('--img-dir', help='folder of the images of --coco (default: by the name of the file)')
    parser.add_argument(
        '--voc-root',
        default=os.environ.get('VOC_ROOT', 'data/VOCdevkit/VOC2012'),
        help='without CONFIG and --coco: images, boxes and label maps (default: %(default)s)',
    )
    parser.add_argument('--split', default='val', help='list of images, ImageSets/Segmentation/SPLIT.txt')
    parser.add_argument('--images', type=int, help='take that many, evenly spread over the data set (default: all)')
    parser.add_argument('--rule', nargs='+', action=OptionsAction, default={}, metavar='KEY=VALUE', help='of the rule')
    add_config_arguments(parser)
    parser.add_argument('--fit', action='store_true', help='also fit the rule to these masks, and print its fields')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write figures and every mask there')
    add_run_options(parser, ['workers', 'batch_size'], workers=0)
    return parser.parse_args()


def find_images(args: argparse.Namespace):
    """Images with boxes, and their true masks if they are instances of a COCO file."""
    from bana_mm.datasets import VOCBoxDataset
    from bana_mm.evaluation.instance_masks import read_true_masks
    from bana_mm.labels import LabelItems
    from bana_mm.labels.data import build_coco_dataset, build_label_dataset
    from bana_mm.utils.cli import load_config

    ground_truth = None
    if args.coco is not None:
        dataset, ground_truth = build_coco_dataset(args.coco, args.img_dir), read_true_masks(args.coco)
    elif args.config is not None:
        dataset = build_label_dataset(load_config(args), args.split)
    else:
        split = f'ImageSets/Segmentation/{args.split}.txt'
        dataset = VOCBoxDataset(split, data_root=args.voc_root, require_masks=True, test_mode=True)
    count = min(args.images or len(dataset), len(dataset))
    dataset.get_subset_([len(dataset) * number // count for number in range(count)])
    return LabelItems(dataset), ground_truth


def table(summaries: dict[str, dict]) -> str:
    """Figures of all sources, in percent but for correlations."""
    from bana_mm.evaluation.mask_trust import CAUSES
    from bana_mm.labels.trust import MEASURES
    from bana_mm.utils.table import figure_cell, format_table, percent

    def number(value: float | None) -> str:
        return '-' if value is None or value != value else f'{value:.2f}'

    titles = dict(
        iou='mean IoU',
        better_half='of the better half',
        worse_half='of the other half',
        score='mean score',
        error='distance of score and IoU',
        wrong='wrong pixels',
    )
    parts = summaries.values()
    lines = [['masks', *(str(part['masks']) for part in parts)]]
    lines += [[title, *(figure_cell(percent(part[name])) for part in parts)] for name, title in titles.items()]
    for cause in CAUSES:
        for name in ('share', 'precision', 'recall'):
            cells = [figure_cell(percent(part['unreliable'][cause][name])) for part in parts]
            lines.append([f'unreliable, {cause}: {name}', *cells])
    lines.append(['rank correlation of score and IoU', *(number(part['correlation']) for part in parts)])
    for name in MEASURES:
        lines.append(
            [f'rank correlation of {name} and IoU', *(number(part['correlations'].get(name)) for part in parts)]
        )
    return format_table(['', *summaries], lines)


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    from bana_mm.evaluation.mask_trust import fit_rule, judge_source, summarise
    from bana_mm.labels import TrustedSource
    from bana_mm.utils.record import write_json
    from bana_mm.utils.run_options import RunOptions

    items, ground_truth = find_images(args)
    cases = {}
    for text in args.sources:
        name, _, second = text.partition('+')
        source = TrustedSource(name, second or None, args.rule)
        cases[text] = judge_source(source, items, ground_truth, RunOptions.from_args(args))
    summaries = {name: summarise(found) for name, found in cases.items()}
    print(f'{len(items)} images')
    print(table(summaries))
    content = dict(images=len(items), rule=args.rule, sources=summaries)
    if args.fit:
        content['fitted'] = fit_rule([one for found in cases.values() for one in found])
        print(json.dumps(content['fitted'], indent=2))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        content['masks'] = {name: [one.to_dict() for one in found] for name, found in cases.items()}
        write_json(args.json, content)
    say_done(f'masks of {len(cases)} sources judged on {len(items)} images', args.json)


if __name__ == '__main__':
    main()
