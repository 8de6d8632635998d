"""Make pseudo labels of a split.

CONFIG CHECKPOINT        with a trained classifier: DIR/Y_crf/ID.png and DIR/Y_ret/ID.png
--source NAME [CONFIG]   with a source of labels that needs none, such as grabcut: DIR/NAME/ID.png
CONFIG CHECKPOINT --coco BOXES.json --out MASKS.json
                         a mask for each instance of a COCO file, with the pixels that are not reliable; the
                         classifier may know other classes than the file has

Killed and started again, it goes on where it stopped. Several processes share out the images:
torchrun --nproc-per-node 8 tools/generate_labels.py ... --launcher pytorch
"""

import argparse
import os
import sys
from functools import partial

# Worker processes import this file too: what only the main process needs is imported in functions.


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    from bana_mm.utils.cli import add_launcher_arguments
    from bana_mm.utils.run_options import add_run_options

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='config of the classifier, or of any model on the images')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint trained with it')
    parser.add_argument('--out-dir', help='folder of the label maps')
    parser.add_argument('--coco', metavar='BOXES.json', help="label instances: COCO's JSON of the boxes")
    parser.add_argument('--out', metavar='MASKS.json', help='JSON of the masks, with --coco')
    parser.add_argument(
        '--img-dir',
        help='folder of the images of --coco (default: ROOT/train2017 for ROOT/annotations/instances_train2017.json)',
    )
    parser.add_argument(
        '--same-as',
        nargs='+',
        action=DictAction,
        metavar='CLASS=OTHER',
        help="which of the classifier's classes stands for one of --coco with another name, such as "
        'truck=car; None for none. Names that VOC and COCO spell differently are known',
    )
    parser.add_argument(
        '--source',
        help='box, grabcut, box_crf, files:PATH, or several joined by +; with a CHECKPOINT '
        'bana_crf_cam (labels without the background attention) or gap (of a classifier with plain '
        'pooling)',
    )
    parser.add_argument(
        '--source-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='parameters of a single --source, such as iterations=3; with a CHECKPOINT changes of the '
        "config's label_recipe, such as recipe=paper",
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
        help="of --source without CONFIG: whether VOC's difficult objects are boxes as others are, or neither object "
        'nor background, 255 in the labels (default: %(default)s)',
    )
    parser.add_argument(
        '--split',
        help='list of images, ImageSets/Segmentation/SPLIT.txt (default: train_aug); with a '
        "config of data in COCO's format one of its dataloaders: train, val or test (default: train)",
    )
    add_run_options(parser)
    parser.add_argument('--overwrite', action='store_true', help='drop the labels that are there and make all anew')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings: key=value, such as model.label_recipe.background=cam',
    )
    add_launcher_arguments(parser)
    args = parser.parse_args()
    if args.checkpoint is None and args.source is None:
        parser.error('give CONFIG and CHECKPOINT of a classifier, or --source')
    if (args.coco is None) != (args.out is None) or (args.coco is None) == (args.out_dir is None):
        parser.error('give --out-dir for label maps, or --coco and --out for masks of instances')
    if args.coco is not None and (args.checkpoint is None or args.source is not None):
        parser.error('--coco needs CONFIG and CHECKPOINT of a classifier, and no --source')
    return args


def main() -> None:
    args = parse_args()
    from bana_mm.utils.config import read_config
    from bana_mm.utils.distributed import launched

    cfg = None if args.config is None else read_config(args.config, args.cfg_options)
    with launched(args.launcher):
        try:
            if args.coco is not None:
                run = make_instances(args, cfg)
            else:
                run = make_with_source(args, cfg) if args.checkpoint is None else make_with_network(args, cfg)
        except KeyboardInterrupt:
            sys.exit('\ninterrupted; the same command (without --overwrite) goes on from here')
    if run is not None:  # on the first rank
        print(run)


def make_with_network(args: argparse.Namespace, cfg):
    """Y_crf and Y_ret of a classifier."""
    from bana_mm.labels import LabelStore, network_source_class
    from bana_mm.labels.building import build_classifier, build_label_dataset, describe_run
    from bana_mm.labels.generator import LabelGenerator
    from bana_mm.labels.label_run import label_missing
    from bana_mm.labels.runner import generate_labels
    from bana_mm.labels.store import NETWORK_MAPS
    from bana_mm.utils.run_options import RunOptions

    options = RunOptions.from_args(args).for_config(cfg)
    source = network_source_class(args.source or 'bana_crf')
    model = build_classifier(cfg, args.checkpoint, options.device)
    source.check_model(model, args.config)
    dataset = build_label_dataset(cfg, args.split)
    generator = LabelGenerator.from_model(model, source.make_recipe(model, args.source_options))
    store = LabelStore(args.out_dir, NETWORK_MAPS)
    meta = describe_run(cfg, args.checkpoint, generator.recipe.to_dict(), dataset.metainfo['classes'])
    label = partial(
        generate_labels,
        model,
        dataset,
        store,
        generator,
        options.workers,
        options.loading_workers,
        options.batch_size,
    )
    return label_missing(store, image_ids(dataset), meta, args.overwrite, label)


def make_instances(args: argparse.Namespace, cfg):
    """A mask for each instance."""
    from bana_mm.labels.instance_building import make_pseudo_masks
    from bana_mm.utils.run_options import RunOptions

    options = RunOptions.from_args(args)
    return make_pseudo_masks(
        cfg,
        args.checkpoint,
        args.coco,
        args.out,
        args.img_dir,
        args.same_as,
        options.workers,
        options.batch_size,
        args.overwrite,
        options.device,
    )


def make_with_source(args: argparse.Namespace, cfg):
    """The maps of a source that needs no network, or that names its network itself."""
    from bana_mm.datasets import VOCBoxDataset
    from bana_mm.labels import LabelStore, build_label_source
    from bana_mm.labels.building import DEFAULT_SPLIT, build_label_dataset
    from bana_mm.labels.label_run import label_missing
    from bana_mm.labels.source_runner import source_maps, store_source_labels

    source = build_label_source(args.source, **args.source_options)
    if cfg is None:
        dataset = VOCBoxDataset(
            f'ImageSets/Segmentation/{args.split or DEFAULT_SPLIT}.txt',
            data_root=args.voc_root,
            difficult=args.difficult,
            test_mode=True,
        )
    else:
        dataset = build_label_dataset(cfg, args.split)
    store = LabelStore(args.out_dir, list(source_maps(source)))
    classes = [name for name in dataset.metainfo['classes'] if name != 'background']
    meta = dict(source=source.describe(), classes=classes)
    label = partial(store_source_labels, source, dataset, store, args.workers)
    return label_missing(store, image_ids(dataset), meta, args.overwrite, label)


def image_ids(dataset) -> list[str]:
    return [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]


if __name__ == '__main__':
    main()
