"""From a folder of images and boxes to a running project.

Looks at the data, says in a page what it found and what it advises, and writes the config of the data set, which every
tool takes as --data, and a preset with the advised sizes, --preset. Formats: PASCAL VOC's XML and COCO's JSON, which
are read as they are; YOLO's text files, LabelMe's JSON and CVAT's XML ("CVAT for images 1.1"), whose boxes are written
as COCO's JSON into DATA/bana_mm, with the images left where they are.

--check writes nothing, and lists every problem by file. Exit status: 0 nothing found, 1 problems, 2 no such data.
Errors stop a training, warnings do not.
"""

import argparse
import sys

from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible

# Worker processes import this file too: what only the main process needs is imported in functions.


def parse_args() -> argparse.Namespace:
    from bana_mm.own_data.formats import FORMATS
    from bana_mm.utils.command_line import tool_parser
    from bana_mm.utils.problems import KINDS

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'data/zoo',
            'data/zoo --format yolo --out configs/own_data/zoo.py',
            'data/zoo --check --json problems.json',
            'configs/own_data/zoo.py --check --ignore class-without-box',
        ],
    )
    parser.add_argument('data', help="folder of the data, COCO's JSON, or with --check the config of a data set")
    parser.add_argument('--format', choices=('auto', *FORMATS), default='auto', help='(default: %(default)s)')
    parser.add_argument('--check', action='store_true', help='only list what is wrong')
    parser.add_argument('--json', metavar='FILE', help='write what was found as JSON too')
    parser.add_argument(
        '--ignore',
        nargs='+',
        choices=sorted(KINDS),
        default=[],
        metavar='KIND',
        help='problems to leave out: %(choices)s',
    )
    parser.add_argument('--out', metavar='FILE.py', help='the config (default: configs/own_data/NAME.py)')
    parser.add_argument('--ann-dir', metavar='DIR', help='where what the data lacks goes (default: DATA/bana_mm)')
    parser.add_argument('--overwrite', action='store_true', help='replace a config that is there')
    parser.add_argument(
        '--classes', nargs='+', metavar='NAME', help='names of the classes 1, 2, ... (default: of the data)'
    )
    parser.add_argument(
        '--masks',
        action='store_true',
        help='polygons and masks of YOLO, LabelMe and CVAT are true masks, not only boxes',
    )
    parser.add_argument(
        '--val-share',
        type=float,
        metavar='SHARE',
        help='draw so many of the images for validation, 0 for none (default: the parts of the data, or else 0.2 of '
        'images with masks)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of that draw (default: %(default)s)')
    parser.add_argument('--workers', type=int, help='processes that decode images (default: as many as are worth it)')
    return parser.parse_args()


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    from bana_mm.own_data.init import check_data, init_data
    from bana_mm.own_data.page import data_summary, problem_lines, problem_summary
    from bana_mm.own_data.prepare import Wishes
    from bana_mm.utils.command_line import say_done
    from bana_mm.utils.record import write_json
    from bana_mm.utils.resources import tool_line

    wishes = Wishes(args.classes, args.masks, args.val_share, args.seed)
    try:
        if args.check:
            report = check_data(args.data, args.format, wishes, args.ignore, args.workers)
        else:
            report = init_data(
                args.data, args.out, args.format, wishes, args.ann_dir, args.overwrite, args.ignore, args.workers
            )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if args.json:
        write_json(args.json, report.as_json())
    if args.check:
        if report.problems:
            print(problem_lines(report.problems))
        if report.statistics is not None:
            print(f'{args.data}: {data_summary(report.statistics)}')
        print(f'{args.data}: {problem_summary(report.problems)}')
        then = None
        if not report.has_errors and not args.data.endswith('.py'):
            then = tool_line('init_data.py', args.data)
        say_done(f'checked {args.data}', args.json, then)
        sys.exit(1 if report.problems else 0)
    print(f'\n{report.page}')
    print(f'written: {", ".join(map(str, (*report.prepared.written, *report.written)))}')
    then = next(iter(report.next_steps.values())) if report.next_steps else 'correct the errors, and start this again'
    say_done(f'looked at {args.data}', report.written[0], then)
    if report.has_errors:
        sys.exit(1)


if __name__ == '__main__':
    main()
