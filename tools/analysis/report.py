"""Write one HTML page about a run: settings, curves, tables of labels and segmentation, filling rates, images, times.

WORK_DIR is the folder of one training, or of all stages, such as work_dirs/demo of `make demo`. Labels that its configs
name are read where they lie. The page needs no other file and no network.

Images are the best, median and worst ones by the predictions in WORK_DIR/.../predictions (tools/test.py --out) or
--predictions, else by the labels. Attention, CAM and confidence are computed where checkpoints are there.
"""

import argparse
import sys

from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.command_line import tool_parser
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'work_dirs/demo',
            'work_dirs/deeplabv2_r101_voc --images 24 --predictions NAL=PREDICTIONS --device cuda',
        ],
    )
    parser.add_argument('work_dir', help='work directory')
    parser.add_argument('--out', help='the page (default: WORK_DIR/report.html)')
    parser.add_argument('--images', type=int, default=12, help='how many images to show (default: %(default)s)')
    parser.add_argument('--height', type=int, default=150, help='of each picture in pixels (default: %(default)s)')
    parser.add_argument('--training', help='whose predictions order the images (default: the last segmentation model)')
    parser.add_argument(
        '--predictions', nargs='+', default=[], metavar='CAPTION=DIR', help='further folders of label maps ID.png'
    )
    parser.add_argument('--no-models', action='store_true', help="don't run networks: no attention, CAM or confidence")
    parser.add_argument(
        '--max-images', type=int, default=2000, help='compare at most so many images with masks (default: %(default)s)'
    )
    add_run_options(parser, ['device'])
    args = parser.parse_args()
    for text in args.predictions:
        if '=' not in text:
            parser.error(f'--predictions: {text!r} is not CAPTION=DIR')
    for name in ('images', 'max_images'):
        if getattr(args, name) < 0:
            parser.error(f'--{name.replace("_", "-")} must be at least 0, got {getattr(args, name)}')
    return args


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    from bana_mm.report import write_report
    from bana_mm.utils.command_line import say_done
    from bana_mm.utils.run_options import RunOptions

    try:
        path = write_report(
            args.work_dir,
            args.out,
            args.images,
            args.training,
            dict(text.split('=', 1) for text in args.predictions),
            not args.no_models,
            RunOptions.from_args(args).device,
            args.height,
            args.max_images,
        )
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'report: {error}')
    say_done(f'a page of {path.stat().st_size / 1e6:.1f} MB', path, 'open it in a browser')


if __name__ == '__main__':
    main()
