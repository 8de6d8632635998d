"""Build PASCAL VOC's augmented training set: SegmentationClassAug/ID.png and ImageSets/Segmentation/train_aug.txt.

Masks are VOC's own for its train and val images, SBD's for all others. If it is stopped, the same command
continues.
"""

import argparse

from bana_mm.datasets.voc_augmentation import build_voc_aug
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import GOES_ON_WITHOUT_OVERWRITE, interruptible
from bana_mm.utils.resources import tool_line


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__file__, __doc__, ['data/VOCdevkit/VOC2012 data/benchmark_RELEASE'])
    parser.add_argument('voc_root', help='VOCdevkit/VOC2012')
    parser.add_argument('sbd_root', help='benchmark_RELEASE of SBD, or the folder in it that holds cls')
    parser.add_argument(
        '--subset', action='store_true', help='accept lists that are shorter than those of the complete data sets'
    )
    parser.add_argument('--overwrite', action='store_true', help='delete SegmentationClassAug and make it again')
    return parser.parse_args()


@interruptible(GOES_ON_WITHOUT_OVERWRITE)
def main() -> None:
    args = parse_args()
    images, masks = build_voc_aug(args.voc_root, args.sbd_root, not args.subset, args.overwrite)
    print(f'{images} images in train_aug.txt, {masks} masks in {args.voc_root}/SegmentationClassAug')
    say_done(
        f'the augmented training set of {images} images',
        args.voc_root,
        tool_line('train.py', 'configs/bana/bap_vgg16_voc.py'),
    )


if __name__ == '__main__':
    main()
