"""Compare label maps with masks: mIoU and IoU of each class for every map and for what Y_crf and Y_ret agree on.

The first mean is over the background and all classes that the masks hold; --classes adds the mean over the background
and those classes. Pixels that the masks mark 255 count nowhere.
"""

import argparse
import json
import os
from pathlib import Path

# Worker processes import this file too: what only the main process needs is imported in main().


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dirs', nargs='*', metavar='DIR', help='folders written by tools/generate_labels.py')
    parser.add_argument('--gt', required=True, help='folder of the masks, ID.png')
    parser.add_argument('--split', required=True, help='text file with one image id a line')
    parser.add_argument('--merge', choices=['agree'],
                        help='also evaluate the two maps merged: pixels where they differ are ignored')
    parser.add_argument('--classes', default='', help='comma-separated classes for a second mean')
    parser.add_argument('--sources', nargs='+', default=[], metavar='NAME',
                        help='also evaluate labels made from the boxes: box, grabcut, box_crf, files:PATH (a folder of '
                             'label maps ID.png, or per-box masks in a .json), or what two of them agree on: '
                             'box_crf+grabcut')
    parser.add_argument('--voc-root', help='where --sources find images and boxes: JPEGImages and Annotations')
    parser.add_argument('--workers', type=int, default=0,
                        help='processes; they pay for --sources grabcut and box_crf (default: none)')
    parser.add_argument('--json', help='also write the figures to this file')
    args = parser.parse_args()
    if not args.dirs and not args.sources:
        parser.error('nothing to evaluate: give a DIR, or --sources')
    if args.sources and not args.voc_root:
        parser.error('--sources needs --voc-root')
    return args


def distinct_parts(folders: list[str]) -> list[str]:
    """What tells folders apart: their paths without the parts that all of them begin and end with."""
    parts = [Path(folder).resolve().parts for folder in folders]
    begin = len(os.path.commonprefix(parts))
    end = len(os.path.commonprefix([path[begin:][::-1] for path in parts]))
    return [os.path.join('', *path[begin:len(path) - end]) for path in parts]


def main() -> None:
    args = parse_args()
    from bana_mm.datasets import VOC_CLASSES, VOCBoxDataset
    from bana_mm.evaluation import (
        AgreedMaps,
        SourceLabels,
        StoredMap,
        class_indices,
        evaluate_labels,
        label_table,
        summarise,
    )
    from bana_mm.labels import LabelStore, build_label_source

    img_ids = [line.strip() for line in Path(args.split).read_text().splitlines() if line.strip()]
    if not img_ids:
        raise ValueError(f'{args.split}: lists no image')
    stores = [LabelStore(folder) for folder in args.dirs]
    class_lists = {tuple(store.meta.get('classes', VOC_CLASSES)) for store in stores} or {VOC_CLASSES}
    if len(class_lists) > 1:
        raise ValueError(f'{", ".join(args.dirs)}: their meta.json name different classes; evaluate them one by one')
    class_names, = class_lists
    chosen = [name for name in args.classes.split(',') if name]
    chosen_indices = class_indices(chosen, class_names) if chosen else []

    rows = {}
    if args.sources:
        dataset = VOCBoxDataset(os.path.abspath(args.split), data_root=args.voc_root,
                                metainfo=dict(classes=class_names), serialize_data=False)
        items = {item['img_id']: item for item in dataset.data_list}
        rows = {name: SourceLabels(build_label_source(name), items) for name in args.sources}
    for store, prefix in zip(stores, distinct_parts(args.dirs)):
        maps = {name: StoredMap(store, name) for name in store.maps if (store.root / name).is_dir()}
        if not maps:
            raise FileNotFoundError(f'{store.root}: holds none of {", ".join(store.maps)}; tools/generate_labels.py '
                                    'makes them')
        if args.merge:
            if len(maps) < 2:
                raise FileNotFoundError(f'{store.root}: --merge needs {" and ".join(store.maps)}, but it holds only '
                                        f'{", ".join(maps)}')
            maps[args.merge] = AgreedMaps(*maps.values())
        rows.update({os.path.join(prefix, name): reader for name, reader in maps.items()})

    confusions = evaluate_labels(rows, args.gt, img_ids, len(class_names), args.workers)
    summaries = {name: summarise(confusion, class_names, chosen_indices) for name, confusion in confusions.items()}
    print(f'{len(img_ids)} images of {args.split}, IoU in percent' +
          (f'; chosen: background, {", ".join(chosen)}' if chosen else ''))
    print(label_table(summaries))
    if args.json:
        content = dict(split=args.split, images=len(img_ids), chosen=chosen, rows=summaries)
        Path(args.json).write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
