"""Build PASCAL VOC's augmented training set: SegmentationClassAug/ID.png and ImageSets/Segmentation/train_aug.txt.

Masks are VOC's own for its train and val images, SBD's for all others. Killed and started again, it goes on where it
stopped.
"""

import argparse

from bana_mm.datasets.voc_augmentation import build_voc_aug


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('voc_root', help='VOCdevkit/VOC2012')
    parser.add_argument('sbd_root', help='benchmark_RELEASE of SBD, or the folder in it that holds cls')
    parser.add_argument(
        '--subset', action='store_true', help='accept lists that are shorter than those of the complete data sets'
    )
    parser.add_argument('--overwrite', action='store_true', help='drop SegmentationClassAug and make it anew')
    args = parser.parse_args()
    images, masks = build_voc_aug(args.voc_root, args.sbd_root, not args.subset, args.overwrite)
    print(f'{images} images in train_aug.txt, {masks} masks in {args.voc_root}/SegmentationClassAug')


if __name__ == '__main__':
    main()
