"""Draw panels: image, boxes, attention, CAM, labels, their agreement, predictions, ground truth; one PNG an image."""

import argparse

import numpy as np

from bana_mm.labels.classifier import build_classifier
from bana_mm.labels.data import build_label_dataset
from bana_mm.utils.cli import add_config_arguments, load_config
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible
from bana_mm.visualization.stage_panels import write_stage_panels


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__, __doc__, ['configs/bana/bap_vgg16_voc.py --checkpoint CHECKPOINT --label-dir LABELS --out-dir PANELS']
    )
    parser.add_argument('config', help='config of the classifier')
    parser.add_argument('--out-dir', required=True, help='folder of the panels')
    parser.add_argument('--checkpoint', help='of the classifier; draws attention and CAM')
    parser.add_argument('--label-dir', help='folder of the labels')
    parser.add_argument('--predictions', nargs='+', default=[], metavar='CAPTION=DIR', help='folders of label maps')
    parser.add_argument('--split', default='val', help='list of images, ImageSets/Segmentation/SPLIT.txt')
    parser.add_argument('--number', type=int, default=10, help='how many images, evenly from the split')
    parser.add_argument('--ids', nargs='+', help='these images instead')
    parser.add_argument('--height', type=int, default=224, help='of each cell in pixels')
    add_config_arguments(parser)
    args = parser.parse_args()
    for text in args.predictions:
        if '=' not in text:
            parser.error(f'--predictions: {text!r} is not CAPTION=DIR')
    return args


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    dataset = build_label_dataset(cfg, args.split)
    if args.ids:
        position = {dataset.get_data_info(index)['img_id']: index for index in range(len(dataset))}
        unknown = [img_id for img_id in args.ids if img_id not in position]
        if unknown:
            raise ValueError(f'--ids: {unknown[0]!r} is not in the split {args.split!r}')
        indices = [position[img_id] for img_id in args.ids]
    else:
        number = min(args.number, len(dataset))
        indices = np.linspace(0, len(dataset) - 1, number).round().astype(int).tolist()
    model = build_classifier(cfg, args.checkpoint) if args.checkpoint else None
    written = write_stage_panels(
        args.out_dir,
        dataset,
        indices,
        model,
        args.label_dir,
        dict(text.split('=', 1) for text in args.predictions),
        args.height,
    )
    say_done(f'{len(written)} panels', args.out_dir)


if __name__ == '__main__':
    main()
