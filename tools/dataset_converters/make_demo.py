"""Write the synthetic data set of the demonstration in PASCAL VOC's layout."""

import argparse

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.datasets.synthetic_images import SYNTHETIC_CLASSES
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import interruptible


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__file__, __doc__, ['data/synthetic --num-train 100 --num-val 20'])
    parser.add_argument('root', help='folder to fill; takes the place of VOCdevkit/VOC2012')
    parser.add_argument('--num-train', type=int, default=200, help='training images (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=50, help='validation images (default: %(default)s)')
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        default=(96, 128),
        metavar=('LEAST', 'LARGEST'),
        help='height and width in pixels (default: 96 to 128)',
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        default=SYNTHETIC_CLASSES,
        choices=SYNTHETIC_CLASSES,
        metavar='CLASS',
        help=f'some of {", ".join(SYNTHETIC_CLASSES)} (default: all)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the random shapes (default: %(default)s)')
    parser.add_argument(
        '--border', type=int, default=0, help='pixels around edges that the masks mark 255 (default: %(default)s)'
    )
    return parser.parse_args()


@interruptible()
def main() -> None:
    args = parse_args()
    root = make_synthetic_voc(
        args.root, args.num_train, args.num_val, tuple(args.image_size), args.classes, args.seed, args.border, True
    )
    say_done(f'{args.num_train} training and {args.num_val} validation images', root)


if __name__ == '__main__':
    main()
