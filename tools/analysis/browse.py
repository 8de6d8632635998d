"""Look at a data set as a training sees it: images after augmentation, with boxes, labels and the reliable region.

A picture for each image: the image as it is loaded, then --times augmented ones. Labels are those that CONFIG trains
on; --source takes those of any other source, through the same augmentation. A classifier has boxes alone; --source
then labels the augmented image from its remaining boxes.
"""

import argparse
import sys
from pathlib import Path

from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.cli import add_config_arguments
    from bana_mm.utils.command_line import tool_parser

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'configs/bana/deeplabv2_r101_voc.py --out-dir browse',
            'configs/bana/deeplabv2_r101_voc.py --source grabcut --number 4 --times 5',
            'configs/bana/bap_vgg16_voc.py --source box_crf --show',
        ],
    )
    parser.add_argument('config', help='config of a training')
    parser.add_argument('--mode', choices=['train', 'val', 'test'], default='train', help='which data set')
    parser.add_argument('--source', help='labels of this source instead, as of tools/generate_labels.py')
    parser.add_argument('--number', type=int, default=8, help='how many images, evenly (default: %(default)s)')
    parser.add_argument('--ids', nargs='+', help='these images instead')
    parser.add_argument('--times', type=int, default=3, help='how often each is augmented (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation (default: %(default)s)')
    parser.add_argument('--height', type=int, default=200, help='of each cell in pixels (default: %(default)s)')
    parser.add_argument('--out-dir', help='folder of the pictures (default: work_dirs/browse/CONFIG_NAME)')
    parser.add_argument('--show', action='store_true', help='show them in windows, and write none without --out-dir')
    add_config_arguments(parser)
    return parser.parse_args()


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    from bana_mm.utils.cli import load_config
    from bana_mm.utils.command_line import say_done
    from bana_mm.visualization.browse import browse

    cfg = load_config(args)
    out_dir = Path(args.out_dir or f'work_dirs/browse/{Path(args.config).stem}')
    written = 0
    try:
        for name, picture in browse(
            cfg, args.mode, args.source, args.ids or args.number, args.times, args.seed, args.height
        ):
            if args.show:
                show(name, picture)
            if args.out_dir or not args.show:
                save(out_dir / f'{name}.png', picture)
                written += 1
    except (FileNotFoundError, ValueError, KeyError) as error:
        sys.exit(f'browse: {error.args[0] if isinstance(error, KeyError) else error}')
    say_done(f'{written} pictures', out_dir if written else None)


def save(path: Path, picture) -> None:
    from PIL import Image

    from bana_mm.utils.atomic import whole_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        Image.fromarray(picture).save(partial, format='PNG')


def show(name: str, picture) -> None:
    from matplotlib import pyplot

    figure = pyplot.figure(name, figsize=(picture.shape[1] / 100, picture.shape[0] / 100))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture)
    axes.set_axis_off()
    pyplot.show()


if __name__ == '__main__':
    main()
