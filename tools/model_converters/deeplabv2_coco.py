"""Convert public DeepLab-V2 weights (ResNet-101, trained on COCO) for deeplabv2_r101_cocoinit_voc.py.

Ports of the Caffe model to PyTorch are understood: resnet101COCO-41f33a49.pth,
MS_DeepLab_resnet_pretrained_COCO_init.pth, deeplabv1_resnet101-coco.pth, and others with their names.
"""

import argparse
from pathlib import Path

import torch
from mmseg.models.backbones import ResNet

from bana_mm.utils.atomic import whole_file
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.deeplabv2_weights import convert_deeplabv2_weights
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible
from bana_mm.utils.resources import tool_line
from bana_mm.utils.safe_loading import read_checkpoint, weights_in


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__file__, __doc__, ['resnet101COCO-41f33a49.pth data/deeplabv2_r101_coco.pth'])
    parser.add_argument('source', type=Path, help='weights to convert')
    parser.add_argument(
        'target',
        type=Path,
        nargs='?',
        default=Path('data/deeplabv2_r101_coco.pth'),
        help='file to write (default: %(default)s)',
    )
    return parser.parse_args()


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    state = weights_in(read_checkpoint(args.source), args.source)
    with torch.device('meta'):
        backbone = ResNet(depth=101)
    try:
        converted, left_out = convert_deeplabv2_weights(state, backbone)
    except ValueError as error:
        raise ValueError(f'{args.source}: {error}') from error
    args.target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.target) as partial:
        torch.save(dict(state_dict=converted), partial)
    print(f'{len(converted)} weights in {args.target}; left out: {", ".join(left_out) or "none"}')
    say_done(
        f'{len(converted)} weights', args.target, tool_line('train.py', 'configs/bana/deeplabv2_r101_cocoinit_voc.py')
    )


if __name__ == '__main__':
    main()
