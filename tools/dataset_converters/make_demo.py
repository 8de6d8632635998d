"""Write the synthetic data set of the demonstration in PASCAL VOC's layout."""

import argparse

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.datasets.synthetic_images import SYNTHETIC_CLASSES


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('root', help='folder to fill; takes the place of VOCdevkit/VOC2012')
    parser.add_argument('--num-train', type=int, default=200)
    parser.add_argument('--num-val', type=int, default=50)
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        default=(96, 128),
        metavar=('LEAST', 'LARGEST'),
        help='height and width in pixels',
    )
    parser.add_argument('--classes', nargs='+', default=SYNTHETIC_CLASSES, choices=SYNTHETIC_CLASSES, metavar='CLASS')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--border', type=int, default=0, help='pixels around edges that the masks mark 255')
    args = parser.parse_args()
    root = make_synthetic_voc(
        args.root, args.num_train, args.num_val, tuple(args.image_size), args.classes, args.seed, args.border
    )
    print(f'{args.num_train} training and {args.num_val} validation images in {root}')


if __name__ == '__main__':
    main()
