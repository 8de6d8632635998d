"""Compare label maps with masks: mIoU and IoU of each class for every map and for what Y_crf and Y_ret agree on.

The first mean is over the background and all classes that the masks hold; --classes adds the mean over the background
and those classes. Pixels that the masks mark 255 count nowhere. Pixels that a label map leaves at 255 are wrong; only
rows of what two maps agree on leave them out. Several splits have a column each.

--table1 puts the rows of the paper's Table 1 in its order: whole boxes, GrabCut and DenseCRF on boxes (box=, grabcut=,
box_crf=, each made now where no folder is given), a classifier with plain pooling (gap=), without the attention (cam=),
and Y_crf, Y_ret and what both agree on (bana=). The last three are folders of labels, or CONFIG:CHECKPOINT to make them
now with the published recipe. Labels of many images are better stored first with tools/generate_labels.py, which
continues where it was stopped.

--coco compares masks of instances instead: COCO's average precision, and the mean IoU of a mask with the true mask of
the same annotation. Labels have no scores, so larger boxes come first, and of equal ones those with the lower
annotation id; --rank score takes the field "score" of the labels instead. The images are those of the first file.
"""

import argparse
import os
from pathlib import Path

from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible

# Worker processes import this file too: what only the main process needs is imported in main().


def parse_args() -> argparse.Namespace:
    from bana_mm.evaluation.contours import add_contours_option
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'LABELS --gt MASKS --split SPLIT.txt --merge agree',
            '--sources box grabcut box_crf --voc-root data/VOCdevkit/VOC2012 --split val',
            '--coco MASKS.json --gt TRUE_MASKS.json',
        ],
    )
    parser.add_argument('dirs', nargs='*', metavar='DIR', help='folders written by tools/generate_labels.py')
    parser.add_argument(
        '--coco',
        nargs='*',
        metavar='LABELS.json',
        help='compare instances of these COCO files (and of --sources) with those of --gt',
    )
    parser.add_argument('--table1', nargs='*', metavar='KEY=WHERE', help="the rows of the paper's Table 1, see above")
    parser.add_argument(
        '--gt',
        help='folder of the masks, ID.png (default: SegmentationClassAug in --voc-root); with '
        '--coco the file of true masks',
    )
    parser.add_argument(
        '--split',
        nargs='+',
        help='text files with one image id a line; or, with --voc-root, names of '
        'files in its ImageSets/Segmentation, such as train val',
    )
    parser.add_argument(
        '--merge', choices=['agree'], help='also evaluate the two maps merged: pixels where they differ are ignored'
    )
    parser.add_argument('--classes', default='', help='comma-separated classes for a second mean')
    parser.add_argument(
        '--sources',
        nargs='+',
        default=[],
        metavar='NAME',
        help='also evaluate labels made from the boxes: box, grabcut, box_crf, files:PATH (a folder of '
        'label maps ID.png, or per-box masks in a .json), sam:MODEL, bana_crf:CONFIG:CHECKPOINT, what two of them '
        'agree on: box_crf+grabcut, or what most of them say: vote:box+box_crf+grabcut',
    )
    parser.add_argument(
        '--voc-root', help='where --sources and --table1 find images and boxes: JPEGImages and Annotations'
    )
    parser.add_argument(
        '--difficult',
        choices=['keep', 'ignore'],
        default='keep',
        help="whether VOC's difficult objects are boxes like any other, for --sources and --table1, or neither object "
        'nor background, 255 in the labels (default: %(default)s)',
    )
    parser.add_argument('--img-dir', help='where --coco finds the images for --sources')
    parser.add_argument(
        '--rank',
        choices=['area', 'score'],
        default='area',
        help='what orders the labels of --coco for average precision (default: %(default)s)',
    )
    add_run_options(parser, ['workers'], workers=0)  # they pay where labels are made, as by --sources grabcut
    add_contours_option(parser)
    parser.add_argument('--json', help='also write the figures to this file')
    args = parser.parse_args()
    if not args.dirs and not args.sources and not args.coco and args.table1 is None:
        parser.error('nothing to evaluate: give a DIR, --sources or --table1')
    if args.gt is None and (args.coco is not None or args.voc_root is None):
        parser.error('--gt is missing')
    if args.coco is not None:
        if args.contours is not None:
            parser.error('--contours compares label maps, and --coco instances')
        if args.dirs:
            parser.error('--coco compares instances, and a DIR holds none')
        if args.sources and not args.img_dir:
            parser.error('--coco with --sources needs --img-dir')
        return args
    if not args.split:
        parser.error('--split is missing')
    if (args.sources or args.table1 is not None) and not args.voc_root:
        parser.error('--sources and --table1 need --voc-root')
    return args


def file_names(paths: list[str]) -> list[str]:
    """Files by their names, or by what tells them apart where names are the same."""
    from bana_mm.evaluation.table_rows import distinct_parts

    stems = [Path(path).stem for path in paths]
    return stems if len(set(stems)) == len(stems) else distinct_parts(paths)


def compare_instances(args: argparse.Namespace) -> None:
    from bana_mm.evaluation.instance_evaluation import evaluate_instances, instance_table
    from bana_mm.evaluation.instance_masks import make_label_masks, read_label_masks, read_true_masks
    from bana_mm.labels import build_label_source
    from bana_mm.utils.record import write_json
    from bana_mm.utils.run_options import RunOptions

    options = RunOptions.from_args(args)
    ground_truth = read_true_masks(args.gt)
    rows = {name: read_label_masks(path, ground_truth) for name, path in zip(file_names(args.coco), args.coco)}
    if rows:
        img_ids = next(iter(rows.values())).img_ids
        for path, labels in zip(args.coco, rows.values()):
            if set(labels.img_ids) != set(img_ids):
                raise ValueError(f'{path}: has other images than {args.coco[0]}; compare them one by one')
        ground_truth = ground_truth.only(img_ids)
    rows.update(
        {name: make_label_masks(build_label_source(name), ground_truth, args.img_dir, options) for name in args.sources}
    )
    summaries = {name: evaluate_instances(ground_truth, labels, args.rank) for name, labels in rows.items()}
    print(
        f'{len(ground_truth.objects())} instances in {len(ground_truth.images)} images of {args.gt}, in percent; '
        f'for AP ranked by {args.rank}'
    )
    print(instance_table(summaries))
    if args.json:
        content = dict(gt=args.gt, images=len(ground_truth.images), rank=args.rank, rows=summaries)
        write_json(args.json, content)


def find_splits(args: argparse.Namespace) -> dict[str, Path]:
    """The lists of images by what the table calls them."""
    paths = []
    for split in args.split:
        path = Path(split)
        if not path.is_file() and args.voc_root and path.name == split:
            path = Path(args.voc_root) / 'ImageSets/Segmentation' / f'{split}.txt'
        paths.append(path)
    return dict(zip(file_names([str(path) for path in paths]), paths))


def compare_maps(args: argparse.Namespace) -> None:
    from bana_mm.datasets import VOC_CLASSES, VOCBoxDataset
    from bana_mm.datasets.metainfo import object_classes
    from bana_mm.datasets.voc_files import read_ids
    from bana_mm.evaluation import (
        SourceLabels,
        check_files,
        class_indices,
        evaluate_labels,
        label_table,
        splits_table,
        store_rows,
        summarise,
        table_1_rows,
    )
    from bana_mm.labels import build_label_source
    from bana_mm.structures import LabelStore
    from bana_mm.utils.record import write_json

    paths = find_splits(args)
    ground_truth = args.gt or os.path.join(args.voc_root, 'SegmentationClassAug')
    splits = {
        name: read_ids(path, lambda img_id: os.path.isfile(os.path.join(ground_truth, f'{img_id}.png')))
        for name, path in paths.items()
    }
    folders = [where for where in (text.partition('=')[2] for text in args.table1 or ()) if os.path.isdir(where)]
    class_lists = {
        object_classes(LabelStore(folder).meta.get('classes', VOC_CLASSES)) for folder in (*args.dirs, *folders)
    }
    class_names, *others = class_lists or {VOC_CLASSES}
    if others:
        raise ValueError(
            f'{", ".join((*args.dirs, *folders))}: their meta.json name different classes; evaluate them one by one'
        )
    chosen = [name for name in args.classes.split(',') if name]
    chosen_indices = class_indices(chosen, class_names) if chosen else []

    items = {}
    if args.sources or args.table1 is not None:
        for path in paths.values():
            dataset = VOCBoxDataset(
                os.path.abspath(path),
                data_root=args.voc_root,
                metainfo=dict(classes=class_names),
                difficult=args.difficult,
                serialize_data=False,
            )
            items.update((item['img_id'], item) for item in dataset.data_list)
    rows, left_out = ({}, []) if args.table1 is None else table_1_rows(args.table1, items)
    rows.update((name, SourceLabels(build_label_source(name), items)) for name in args.sources)
    stored = store_rows(args.dirs, args.merge)
    rows.update((f'stored {name}' if name in rows else name, reader) for name, reader in stored.items())

    for img_ids in splits.values():
        check_files(rows, ground_truth, img_ids)
    results = {}
    for name, img_ids in splits.items():
        confusions = evaluate_labels(rows, ground_truth, img_ids, len(class_names), args.workers, args.contours)
        results[name] = dict(
            split=str(paths[name]),
            images=len(img_ids),
            chosen=chosen,
            rows={row: summarise(confusion, class_names, chosen_indices) for row, confusion in confusions.items()},
        )
    for result in results.values():
        print(
            f'{result["images"]} images of {result["split"]}, IoU in percent'
            + (f'; chosen: background, {", ".join(chosen)}' if chosen else '')
        )
    if len(results) == 1 and args.table1 is None:
        print(label_table(result['rows']))
    else:
        print(splits_table({name: result['rows'] for name, result in results.items()}))
    if left_out:
        print(f'nothing given for {", ".join(left_out)}')
    if args.json:
        content = result if len(results) == 1 else dict(splits=list(results.values()))
        write_json(args.json, content)


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    if args.coco is not None:
        compare_instances(args)
    else:
        compare_maps(args)
    compared = [*args.dirs, *(args.coco or ()), *args.sources, *(args.table1 or ())]
    say_done(
        f'compared {", ".join(compared) or "Table 1"} with {args.gt or "the masks of " + args.voc_root}', args.json
    )


if __name__ == '__main__':
    main()
