"""Run all stages of a segmentation config: train the classifier, make and evaluate the labels, train, test.

The config's training set names the classifier in `pseudo_labels`: `config`, `dir` (of the labels), and optionally
`checkpoint` (an existing one replaces the classifier's training). Labels are made of its images, and of those of the
validation set, which are only evaluated. For instances `json` (the masks, COCO's format), `boxes` (COCO's JSON of the
boxes) and optionally `img_dir` take the place of `dir`; these labels are not evaluated, tools/evaluate_labels.py --coco
does that. --data and --preset go to all stages. --recipe paper makes the labels as published, in DIR_paper, and trains
on them in work_dirs/paper/CONFIG_NAME. --rounds N lets the trained model label its training images again, and trains
anew on these labels (DIR_round2, work_dirs/CONFIG_NAME_round2 and so on) as long as the test's mIoU or AP rises.
What is done already is skipped; if it is stopped, the same command continues.
"""

import argparse
import os

from mmengine.runner import find_latest_checkpoint

from bana_mm.pipeline.rounds import plan_rounds
from bana_mm.pipeline.step import ended_by_signals
from bana_mm.structures.label_recipe import RECIPES
from bana_mm.utils.cli import add_data_and_preset
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.config import config_arguments
from bana_mm.utils.resources import tool_line
from bana_mm.utils.run_options import RunOptions, add_run_options


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__,
        __doc__,
        [
            'configs/bana/deeplabv1_vgg16_voc.py --dry-run',
            'configs/bana/deeplabv1_vgg16_voc.py --data configs/own_data/zoo_voc.py --preset cpu',
            'configs/bana/mask-rcnn_r50_fpn_coco2coco.py --amp',
        ],
    )
    parser.add_argument('config', help='config of the segmentation model')
    parser.add_argument(
        '--work-dir', help='of the segmentation model; defaults to work_dirs/CONFIG_NAME[_DATA][_PRESET]'
    )
    add_data_and_preset(parser)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--recipe', choices=tuple(RECIPES), help="how label maps are made (default: as the classifier's config says)"
    )
    parser.add_argument(
        '--all', action='store_true', help='test with one view and with eight, each with and without CRF (segmentation)'
    )
    parser.add_argument(
        '--rounds', type=int, default=1, metavar='N', help='rounds of labels and training (default: %(default)s)'
    )
    parser.add_argument('--dry-run', action='store_true', help='only print the commands')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override settings of the segmentation config'
    )
    parser.add_argument(
        '--classifier-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help="override settings of the classifier's config",
    )
    add_run_options(parser.add_argument_group('making the labels'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    settings = dict(
        classifier_overrides=args.classifier_options,
        work_dir=args.work_dir,
        amp=args.amp,
        options=RunOptions.from_args(args),
        recipe=args.recipe,
        all_scores=args.all,
    )
    rounds = plan_rounds(args.rounds, args.config, args.cfg_options, args.data, args.preset, **settings)
    plan = rounds.plans[0] if args.rounds == 1 else rounds
    if args.dry_run:
        plan.show()
        return
    with ended_by_signals():
        plan.run()
    print(plan.summary())
    work_dir = rounds.plans[0].work_dir
    checkpoint = find_latest_checkpoint(work_dir)
    put_in = config_arguments(dict(data=args.data, preset=args.preset))
    then = checkpoint and tool_line('predict.py', args.config, os.path.relpath(checkpoint), 'IMAGES', *put_in)
    say_done(f'all stages of {args.config}', work_dir, then)


if __name__ == '__main__':
    main()
