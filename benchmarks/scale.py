"""Time and memory of every step on a file of masks as large as COCO's training set, with synthetic content.

  python benchmarks/scale.py                     # 118,287 images with 850,000 boxes: half an hour on one core
  python benchmarks/scale.py --images 2000

Each step runs in a process of its own, one after the other: reading the boxes, making masks by the source ``box``
(whole boxes: what is measured is all but the making of masks), comparing them with true ones, building the data set of
a training and loading some of its masks. The images are links to one small file. ``memory`` is the most that the
process held, libraries included; a process that has only imported them is the first row.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without being installed

from benchmarks.harness import in_child, memory_of_process

IMAGES, ANNOTATIONS, CLASSES = 118_287, 850_000, 80
SIZE = (96, 128)  # height and width in pixels


def make_file(root: str, images: int) -> str:
    """COCO's JSON with polygons of 24 points, and the images; what COCO has more of is the digits."""
    import cv2

    folder = Path(root)
    (folder / 'train2017').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    chance = np.random.default_rng(0)
    cv2.imwrite(str(folder / 'one.jpg'), chance.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
    path = folder / 'annotations/instances_train2017.json'
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    with open(path, 'w') as file:
        file.write('{"images": [\n')
        for number in range(images):
            name = f'{number + 1:012d}.jpg'
            os.symlink(folder / 'one.jpg', folder / 'train2017' / name)
            image = dict(id=number + 1, file_name=name, height=SIZE[0], width=SIZE[1], license=3, date_captured='2013')
            file.write((',\n' if number else '') + json.dumps(image))
        file.write('],\n"annotations": [\n')
        for number in range(round(images * ANNOTATIONS / IMAGES)):
            center, radius = chance.uniform(20, 76, 2), chance.uniform(6, 18)
            points = center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
            annotation = dict(
                id=number + 1,
                image_id=number % images + 1,
                category_id=int(chance.integers(1, CLASSES + 1)),
                iscrowd=0,
                area=round(3.1 * radius**2, 2),
                bbox=[round(float(value), 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                segmentation=[np.round(points, 2).ravel().tolist()],
            )
            file.write((',\n' if number else '') + json.dumps(annotation))
        categories = [dict(id=number + 1, name=f'class{number + 1}') for number in range(CLASSES)]
        file.write(f'],\n"categories": {json.dumps(categories)}}}\n')
    return f'{path.stat().st_size / 1e6:.0f} MB of JSON'


def only_imports(root: str) -> str:
    """What the libraries take."""
    import bana_mm.datasets
    import bana_mm.evaluation
    import bana_mm.labels  # noqa: F401

    return ''


def read_boxes(root: str) -> str:
    """The data set of boxes."""
    return f'{len(_boxes(root))} images'


def make_masks(root: str) -> str:
    """A mask for each box, through the store of parts into one file."""
    from bana_mm.labels import LabelItems, MaskSink, build_label_source, make_labels

    items = LabelItems(_boxes(root))
    out = Path(root, 'masks.json')
    run = make_labels(build_label_source('box'), items, MaskSink(out, items))
    return f'{run.images} images, {out.stat().st_size / 1e6:.0f} MB of JSON'


def make_masks_again(root: str) -> str:
    """The same once more: finds that all is done."""
    return make_masks(root)


def evaluate(root: str) -> str:
    """Average precision and IoU with the true masks."""
    from bana_mm.evaluation.instance_evaluation import evaluate_instances
    from bana_mm.evaluation.instance_masks import read_label_masks, read_true_masks

    truth = read_true_masks(_ann_file(root))
    labels = read_label_masks(Path(root, 'masks.json'), truth)
    return f'mean IoU {evaluate_instances(truth, labels)["mIoU"]:.1f}'


def build_training_set(root: str) -> str:
    """The data set that a detector trains on."""
    return f'{len(_masks(root))} images'


def load_masks(root: str) -> str:
    """A thousand of its samples, with their unreliable pixels."""
    dataset = _masks(root)
    start = time.perf_counter()
    for index in range(0, len(dataset), max(len(dataset) // 1000, 1)):
        dataset[index]
    return f'{time.perf_counter() - start:.1f} s of it for 1000 samples'


STEPS: dict[str, Callable[..., str]] = dict(
    imports=only_imports,
    boxes=read_boxes,
    masks=make_masks,
    again=make_masks_again,
    evaluate=evaluate,
    training=build_training_set,
    load=load_masks,
)


def _ann_file(root: str) -> Path:
    return Path(root, 'annotations/instances_train2017.json')


def _boxes(root: str) -> Any:
    from bana_mm.labels.data import build_coco_dataset

    return build_coco_dataset(_ann_file(root))


def _masks(root: str) -> Any:
    from bana_mm.datasets import CocoPseudoMaskDataset

    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='bana_mm.LoadUnreliable'),
    ]
    classes = tuple(f'class{number + 1}' for number in range(CLASSES))
    images = dict(img=str(Path(root, 'train2017')))
    metainfo = dict(classes=classes)
    return CocoPseudoMaskDataset(
        str(Path(root, 'masks.json')), data_prefix=images, metainfo=metainfo, pipeline=pipeline
    )


def measure(name: str, root: str) -> tuple[float, int | None, str]:
    """Seconds, most memory in bytes, and what a step says."""
    import torch
    from mmengine.registry import DefaultScope

    torch.set_num_threads(1)
    with DefaultScope.overwrite_default_scope('mmdet'):
        start = time.perf_counter()
        said = STEPS[name](root)
        return time.perf_counter() - start, memory_of_process('VmHWM'), said


def main() -> None:
    from bana_mm.utils.table import format_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=IMAGES, help='(default: %(default)s)')
    parser.add_argument('--dir', help='folder that is kept (default: a temporary one)')
    parser.add_argument('--steps', nargs='+', choices=STEPS, default=list(STEPS), help='(default: all)')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.dir or folder
        if not _ann_file(root).is_file():
            print(make_file(root, args.images), flush=True)
        rows = []
        for name in args.steps:
            seconds, peak, said = in_child(measure, name, root)
            memory = 'not known' if peak is None else f'{peak / 2**20:.0f} MiB'
            rows.append([(STEPS[name].__doc__ or '').splitlines()[0], f'{seconds:.1f} s', memory, said])
            print('  '.join(rows[-1]), flush=True)
    print(format_table(['', 'time', 'memory', ''], rows))


if __name__ == '__main__':
    main()
