"""Make pseudo labels: label maps, or a mask for each box.

CONFIG CHECKPOINT        with a trained classifier; label maps are DIR/Y_crf/ID.png and DIR/Y_ret/ID.png
--source NAME [CONFIG]   with any other source of labels, such as grabcut: DIR/NAME/ID.png

The images are those of CONFIG and --split, of a COCO file (--coco BOXES.json), or of --voc-root. Label maps go to
--out-dir DIR; masks of instances, with the pixels that are not reliable, to --out MASKS.json. A classifier may know
other classes than the data set has.

If it is stopped, the same command continues. Several processes share the images:
torchrun --nproc-per-node 8 tools/generate_labels.py ... --launcher pytorch
"""

import argparse
import os
from pathlib import Path

from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import GOES_ON_WITHOUT_OVERWRITE, interruptible
from bana_mm.utils.resources import tool_line

# Worker processes import this file too: what only the main process needs is imported in functions.


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.cli import add_config_arguments, add_launcher_arguments
    from bana_mm.utils.options import OptionsAction
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'configs/bana/bap_vgg16_voc.py CHECKPOINT --out-dir LABELS',
            'configs/bana/bap_vgg16_coco.py CHECKPOINT --coco BOXES.json --out MASKS.json',
            '--source grabcut --coco BOXES.json --out MASKS.json',
            '--source bana_crf:CONFIG:CHECKPOINT+grabcut --split train --out-dir LABELS',
            "--source 'sam:nielsr/slimsam-77-uniform|box_crf' --coco BOXES.json --out MASKS.json",
        ],
    )
    parser.add_argument('config', nargs='?', help='config of the classifier, or of any model on the images')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint trained with it')
    parser.add_argument('--out-dir', help='folder of the label maps')
    parser.add_argument('--out', metavar='MASKS.json', help="COCO's JSON of the masks of instances")
    parser.add_argument('--coco', metavar='BOXES.json', help="COCO's JSON of images and boxes to label")
    parser.add_argument(
        '--img-dir',
        help='folder of the images of --coco (default: the usual one that has them, such as ROOT/train2017 or '
        'ROOT/images for ROOT/annotations/instances_train2017.json)',
    )
    parser.add_argument(
        '--keep-masks',
        action=argparse.BooleanOptionalAction,
        default=False,
        help='where annotations of --coco have a mask (segmentation), take it as the true one, reliable everywhere, '
        'and label only the others (default: masks are not used)',
    )
    parser.add_argument(
        '--same-as',
        nargs='+',
        action=OptionsAction,
        metavar='CLASS=OTHER',
        help="which of the classifier's classes stands for one of --coco with another name, such as "
        'truck=car; None for none. Names that VOC and COCO spell differently are known',
    )
    parser.add_argument(
        '--source',
        help='box, grabcut, box_crf, files:PATH, sam:MODEL (docs/sam.md), bana_crf:CONFIG:CHECKPOINT; several joined '
        'by +; A|B, that is B for the boxes where A fails; trusted:A, vote:A+B+C; with a CHECKPOINT '
        'the names of sources with a classifier stand alone: bana_crf_cam (labels without the background attention), '
        'gap (of a classifier with plain pooling), bana_ret+grabcut',
    )
    parser.add_argument(
        '--source-options',
        nargs='+',
        action=OptionsAction,
        default={},
        metavar='KEY=VALUE',
        help='parameters of a single --source, such as iterations=3; with a CHECKPOINT changes of the '
        "config's label_recipe, such as recipe=paper",
    )
    parser.add_argument(
        '--working-pixels',
        type=int,
        metavar='N',
        help='images with more pixels are labelled on a copy of about this many, then refined along borders at their '
        'own size; 0 takes every image as it is (default: 1000000)',
    )
    parser.add_argument(
        '--voc-root',
        default=os.environ.get('VOC_ROOT', 'data/VOCdevkit/VOC2012'),
        help='where --source without CONFIG finds images and boxes (default: %(default)s)',
    )
    parser.add_argument(
        '--difficult',
        choices=['keep', 'ignore'],
        default='keep',
        help="of --source without CONFIG: whether VOC's difficult objects are boxes like any other, or neither object "
        'nor background, 255 in the labels (default: %(default)s)',
    )
    parser.add_argument(
        '--split',
        help="list of images, ImageSets/Segmentation/SPLIT.txt (default: the config's training set, or train_aug); "
        "with a config of data in COCO's format one of its dataloaders: train, val or test (default: train)",
    )
    add_run_options(parser)
    parser.add_argument(
        '--overwrite', action='store_true', help='delete the labels that are there and make all of them again'
    )
    add_config_arguments(parser)
    add_launcher_arguments(parser)
    args = parser.parse_args()
    if args.checkpoint is None and args.source is None:
        parser.error('give CONFIG and CHECKPOINT of a classifier, or --source')
    if (args.out_dir is None) == (args.out is None):
        parser.error('give --out-dir for label maps, or --out for masks of instances')
    if args.keep_masks and (args.out is None or args.coco is None):
        parser.error('--keep-masks is for masks of instances (--coco BOXES.json --out MASKS.json)')
    return args


@interruptible(GOES_ON_WITHOUT_OVERWRITE)
def main() -> None:
    args = parse_args()
    from bana_mm.utils.cli import load_config
    from bana_mm.utils.distributed import launched

    cfg = None if args.config is None else load_config(args)
    with launched(args.launcher):
        run = generate(args, cfg)
    if run is not None:  # on the first rank
        print(run)
        what = 'masks of their boxes' if args.out else 'label maps'
        say_done(f'{what}, {run.images + run.skipped} images', args.out or args.out_dir, next_step(args))


def next_step(args: argparse.Namespace) -> str:
    """The command that compares the labels with true ones; for data of one's own without masks, that shows them."""
    if args.out is not None:
        return tool_line('evaluate_labels.py', '--coco', args.out, '--gt', 'TRUE_MASKS.json')
    from bana_mm.utils.config import read_data

    if args.data is not None and not read_data(args.data).get('val'):
        maps = sorted(path.name for path in Path(args.out_dir).iterdir() if path.is_dir())
        shown = ('--data', args.data, '--source', f'files:{args.out_dir}/{maps[0]}', '--times', '1')
        return tool_line('analysis/browse.py', 'configs/bana/deeplabv1_vgg16_voc.py', *shown)
    return tool_line('evaluate_labels.py', args.out_dir, '--gt', 'MASKS', '--split', 'SPLIT.txt')


def generate(args: argparse.Namespace, cfg):
    """From source and images to the sink."""
    from bana_mm.labels import LabelItems, MaskSink, StoreSink, make_labels
    from bana_mm.structures import LabelStore
    from bana_mm.utils.run_options import RunOptions

    options = RunOptions.from_args(args)
    if cfg is not None:
        options = options.for_config(cfg)
    source = find_source(args, cfg, options.device)
    source.use_device(options.device)
    if args.working_pixels is not None:
        source.work_at(args.working_pixels or None)
    items = LabelItems(find_images(args, cfg))
    if args.out is not None:
        sink = MaskSink(args.out, items, args.keep_masks)
    else:
        sink = StoreSink(LabelStore(args.out_dir, source.map_names), items.img_ids)
    return make_labels(source, items, sink, options, args.same_as, args.overwrite)


def find_source(args: argparse.Namespace, cfg, device: str):
    """The source of the labels."""
    from bana_mm.labels import build_label_source, classifier_source_class, label_source_of

    if args.checkpoint is None:
        return build_label_source(args.source, **args.source_options)
    names = (args.source or label_source_of(cfg)).split('+')
    of_classifier = dict(config=cfg, checkpoint=args.checkpoint, device=device)
    if len(names) == 1:
        both = args.out is None  # label maps always come in pairs; of masks there is one a box
        return classifier_source_class(names[0])(**of_classifier, recipe=args.source_options, both=both)
    if args.source_options:
        raise ValueError('--source-options are parameters of a single --source')
    return build_label_source([name if ':' in name else with_classifier(name, of_classifier) for name in names])


def with_classifier(name: str, of_classifier: dict):
    """The config of a source: of one that has a classifier, with that of the command line."""
    from bana_mm.labels import ClassifierSource
    from bana_mm.registry import LABEL_SOURCES

    found = LABEL_SOURCES.get(name)
    return dict(type=name, **of_classifier) if found and issubclass(found, ClassifierSource) else name


def find_images(args: argparse.Namespace, cfg):
    """The data set to label."""
    from bana_mm.datasets import VOCBoxDataset
    from bana_mm.labels.data import DEFAULT_SPLIT, build_coco_dataset, build_label_dataset

    if args.coco is not None:
        # label maps are found by the names of their images
        backend_args = None if cfg is None else cfg.get('backend_args')
        return build_coco_dataset(args.coco, args.img_dir, backend_args, id_from='file_name')
    if cfg is not None:
        return build_label_dataset(cfg, args.split)
    split = f'ImageSets/Segmentation/{args.split or DEFAULT_SPLIT}.txt'
    return VOCBoxDataset(split, data_root=args.voc_root, difficult=args.difficult, test_mode=True)


if __name__ == '__main__':
    main()
