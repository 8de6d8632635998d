"""Make a mask from the boxes of one image, without a data set and, with the default source, without a model.

Boxes are X1,Y1,X2,Y2,CLASS in pixels: 0-based edges, so that 0,0,W,H is the whole image and 3,5,4,6 the one pixel in
column 3 and row 5. CLASS is a name, or with --classes also an index from 1 on.

Writes OUT_DIR/NAME.png (0 background, 1..L classes, 255 ignored; VOC's colours) and OUT_DIR/NAME_overlay.png.
"""

import argparse
import sys
from pathlib import Path

from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible

FORMATS = dict(coco='_coco.json', labelme='.json', yolo='.txt')
Box = tuple[float, float, float, float, str | int]


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.command_line import tool_parser
    from bana_mm.utils.options import OptionsAction
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'dog.jpg --boxes 48,240,195,371,dog 8,12,352,498,person',
            'dog.jpg --boxes-file boxes.txt --source sam:nielsr/slimsam-77-uniform --save coco yolo',
            'dog.jpg --boxes 48,240,195,371,dog --source classifier:CONFIG:CHECKPOINT --device cuda',
        ],
    )
    parser.add_argument('image', help='the image')
    boxes = parser.add_mutually_exclusive_group(required=True)
    boxes.add_argument('--boxes', nargs='+', metavar='X1,Y1,X2,Y2,CLASS', help='boxes with their classes')
    boxes.add_argument(
        '--boxes-file',
        metavar='FILE',
        help='a text file with one such box a line; lines that begin with # do not count',
    )
    parser.add_argument(
        '--source',
        default='grabcut',
        help='box, grabcut, box_crf, sam:MODEL, classifier:CONFIG:CHECKPOINT, A+B, A|B, ..., as of '
        'tools/generate_labels.py (default: %(default)s)',
    )
    parser.add_argument(
        '--source-options',
        nargs='+',
        action=OptionsAction,
        default={},
        metavar='KEY=VALUE',
        help='parameters of a single --source, such as iterations=3',
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='names of the classes 1..L (default: those of the trained model, else those of the boxes in their order)',
    )
    parser.add_argument('--out-dir', default='outputs', help='where the files go (default: %(default)s)')
    parser.add_argument('--save', nargs='+', choices=list(FORMATS), default=[], help='further files to write')
    parser.add_argument('--reliable-only', action='store_true', help='255 where the mask is not reliable')
    parser.add_argument('--show', action='store_true', help='show the result in a window')
    add_run_options(parser, ['device'])
    return parser.parse_args()


def read_boxes(args: argparse.Namespace) -> list[Box]:
    """The boxes of the command line or the file.

    Raises:
        ValueError: If one is not as it must be; the message names the argument, or file and line.
    """
    if args.boxes is not None:
        return [parse_box(text, '--boxes') for text in args.boxes]
    from bana_mm.utils.text_file import read_text

    lines = enumerate(read_text(args.boxes_file).splitlines(), start=1)
    return [
        parse_box(line, f'{args.boxes_file}, line {number}')
        for number, line in lines
        if line.strip() and not line.lstrip().startswith('#')
    ]


def parse_box(text: str, where: str) -> Box:
    *edges, name = (part.strip() for part in text.split(','))
    try:
        x1, y1, x2, y2 = (float(edge) for edge in edges)
    except ValueError:
        raise ValueError(f'{where}: {text!r} is not X1,Y1,X2,Y2,CLASS, such as 48,240,195,371,dog') from None
    if not name:
        raise ValueError(f'{where}: {text!r} has no class')
    return x1, y1, x2, y2, int(name) if name.isdecimal() else name


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    try:
        label(args)
    except (FileNotFoundError, ValueError, KeyError) as error:
        sys.exit(f'label_image: {error.args[0] if isinstance(error, KeyError) else error}')


def label(args: argparse.Namespace) -> None:
    """From the arguments to the files."""
    boxes = read_boxes(args)

    from PIL import Image

    from bana_mm import BoxLabeler
    from bana_mm.labels import build_label_source
    from bana_mm.utils.atomic import whole_file
    from bana_mm.utils.command_line import say_done

    source = build_label_source(args.source, **args.source_options)
    labeler = BoxLabeler(source, classes=args.classes, device=args.device)
    result = labeler(args.image, [box[:4] for box in boxes], [box[4] for box in boxes])
    out = Path(args.out_dir)
    out.mkdir(parents=True, exist_ok=True)
    written = [result.to_png(out / f'{result.name}.png', args.reliable_only), out / f'{result.name}_overlay.png']
    with whole_file(written[-1]) as partial:
        Image.fromarray(result.overlay()).save(partial, format='PNG')
    for kind in args.save:
        written.append(out / f'{result.name}{FORMATS[kind]}')
        getattr(result, f'to_{kind}')(written[-1])
    for name, score, mask in zip(result.box_names, result.scores, result.masks):
        print(f'{name}: {mask.sum()} pixels, score {score:.2f}')
    number = '1 box' if len(boxes) == 1 else f'{len(boxes)} boxes'
    say_done(f'{number} by {args.source}', ', '.join(map(str, written)))
    if args.show:
        result.show()


if __name__ == '__main__':
    main()
