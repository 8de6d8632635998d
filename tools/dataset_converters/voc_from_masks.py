"""Write boxes as PASCAL VOC's XML, made from masks.

ROOT has VOC's layout: JPEGImages/ID.jpg, SegmentationClass/ID.png and, unless every connected region is an object,
SegmentationObject/ID.png. XML that is there is kept: if it is stopped, the same command continues.
"""

import argparse

from bana_mm.datasets import VOC_CLASSES
from bana_mm.datasets.mask_boxes import masks_to_xml
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import GOES_ON_WITHOUT_OVERWRITE, interruptible


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__file__, __doc__, ['data/zoo --classes lion zebra --components --min-area 50'])
    parser.add_argument('root', help='root of the data set')
    parser.add_argument(
        '--classes',
        nargs='+',
        default=VOC_CLASSES,
        metavar='NAME',
        help="names of the classes 1, 2, ... of the masks (default: VOC's)",
    )
    parser.add_argument('--split', help='only the images in ImageSets/Segmentation/SPLIT.txt (default: all with masks)')
    parser.add_argument('--class-masks', default='SegmentationClass', help='folder (default: %(default)s)')
    parser.add_argument('--instance-masks', default='SegmentationObject', help='folder (default: %(default)s)')
    parser.add_argument(
        '--components',
        action='store_true',
        help='without instance masks: every connected region of a class is an object',
    )
    parser.add_argument('--min-area', type=int, default=1, help='smaller objects, in pixels, get no box')
    parser.add_argument('--out', default='Annotations', help='folder in ROOT to fill (default: %(default)s)')
    parser.add_argument('--img-suffix', default='.jpg', help='of the images (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace XML that is there')
    return parser.parse_args()


@interruptible(GOES_ON_WITHOUT_OVERWRITE)
def main() -> None:
    args = parse_args()
    written, kept = masks_to_xml(
        args.root,
        args.classes,
        args.split,
        args.class_masks,
        None if args.components else args.instance_masks,
        args.out,
        args.img_suffix,
        args.min_area,
        args.overwrite,
    )
    print(f'{written} files written to {args.root}/{args.out}' + (f', {kept} were there and kept' if kept else ''))
    say_done(f'boxes of {written + kept} images', f'{args.root}/{args.out}')


if __name__ == '__main__':
    main()
