"""Whether memory, descriptors and processes stay what they are over very many labels and iterations.

  python benchmarks/soak.py                      # 20,000 label maps, 5,000 iterations: half an hour on one core
  python benchmarks/soak.py --images 2000 --iterations 500

Labels of small images are made again and again by a classifier, by GrabCut and by the CRF on boxes, every tenth time
with a worker process; a tiny segmentation model learns from such labels in mmengine's runner. The first fifth of each
counts as warming up. Prints what there was at the beginning and at the end of the rest, and the slope of the memory by
least squares.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without being installed

from bana_mm.utils.atomic import whole_file
from bana_mm.utils.table import format_table

SIZE = 48  # pixels, of the images
CLASSIFIER = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='bana_mm.BoxClassifier',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.] * 3, std=[50.] * 3),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8),
    label_recipe=dict(crf=dict(iterations=2)))
test_dataloader = dict(num_workers=0, dataset=dict(type='bana_mm.VOCBoxDataset', metainfo=dict(classes=CLASSES)))
"""
SEGMENTATION = """
_base_ = BASE
classes = dict(classes=CLASSES)
model = dict(
    data_preprocessor=dict(size=(48, 48)),
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    decode_head=dict(head=dict(in_channels=8, channels=8)))
pipeline = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(48, 48)))
loader = dict(num_workers=0, persistent_workers=False)
data = dict(data_root=DATA, metainfo=classes, pseudo_labels=dict(dir=LABELS), pipeline=pipeline)
train_dataloader = dict(batch_size=2, **loader, dataset=data)
val_dataloader = val_cfg = val_evaluator = test_dataloader = test_cfg = test_evaluator = None
train_cfg = dict(max_iters=ITERATIONS, val_interval=10 ** 9)
default_hooks = dict(logger=dict(interval=100), checkpoint=dict(interval=500, max_keep_ckpts=1))
vis_backends = []
visualizer = dict(vis_backends=vis_backends)
"""
CLASSES = ('ring', 'triangle')


@dataclass
class Watch:
    """What a process holds, looked at now and then.

    Args:
        what (str): What is being done.
        unit (str): Of its counts.
    """

    what: str
    unit: str
    counts: list[int] = field(default_factory=list)
    seen: list[dict[str, int]] = field(default_factory=list)

    def look(self, count: int) -> None:
        """Note what there is after so many."""
        pid = os.getpid()
        resident = int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
        children = sum(_parent(path) == pid for path in Path('/proc').glob('[0-9]*/stat'))
        self.counts.append(count)
        self.seen.append(
            dict(
                bytes=resident,
                descriptors=len(os.listdir('/proc/self/fd')),
                processes=children,
                threads=len(os.listdir('/proc/self/task')),
            )
        )

    def result(self) -> dict[str, Any]:
        """From the first look after a fifth of all counts to the last one; ``slope`` in bytes a thousand."""
        first = next(place for place, count in enumerate(self.counts) if count >= self.counts[-1] / 5)
        counts, sizes = self.counts[first:], [one['bytes'] for one in self.seen[first:]]
        slope = float(np.polyfit(counts, sizes, 1)[0]) * 1000 if len(counts) > 1 else 0.0
        return dict(
            what=self.what, unit=self.unit, count=counts[-1], begin=self.seen[first], end=self.seen[-1], slope=slope
        )


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rsplit(')', 1)[1].split()[1])
    except (OSError, IndexError):  # it has ended meanwhile
        return None


def soak_labels(root: Path, name: str, images: int, workers_every: int = 10) -> Watch:
    """Make the labels of a few images until there are so many in all.

    Args:
        root (Path): Folder for the data.
        name (str): Label source; 'classifier' for a tiny network.
        images (int): How many labels to make.
        workers_every (int): Of so many rounds the first has a worker process, five times; 0 for none. Defaults to 10.
    """
    from bana_mm.datasets import VOCBoxDataset
    from bana_mm.labels import LabelItems, StoreSink, build_label_source, make_labels
    from bana_mm.structures import LabelStore
    from bana_mm.utils.run_options import RunOptions

    data = make_data(root)
    if name == 'classifier':
        config = _classifier(root)
        source = build_label_source(dict(type=name, config=str(config), checkpoint=str(config.with_suffix('.pth'))))
    else:
        source = build_label_source(name)
    split = 'ImageSets/Segmentation/train_aug.txt'
    items = LabelItems(VOCBoxDataset(split, str(data), metainfo=dict(classes=CLASSES), test_mode=True))
    store = LabelStore(root / f'labels_{name}', source.map_names)
    watch, rounds = Watch(f'labels of {name}', 'images'), -(-images // len(items))
    for number in range(rounds):
        with_worker = workers_every and number % workers_every == 0 and number // workers_every < 5
        options = RunOptions(workers=int(bool(with_worker)))
        with _quiet():
            make_labels(source, items, StoreSink(store, items.img_ids), options, overwrite=True)
        watch.look((number + 1) * len(items))
    return watch


def soak_training(root: Path, iterations: int, every: int = 50) -> Watch:
    """Train a tiny segmentation model on labels for so many iterations.

    Args:
        root (Path): Folder for the data.
        iterations (int): How many.
        every (int): How often to look. Defaults to 50.
    """
    from mmengine.config import Config
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    from bana_mm.structures import LabelStore, read_label_png
    from bana_mm.utils.cli import keep_whole_checkpoints
    from bana_mm.utils.config import set_num_classes
    from bana_mm.utils.resources import find_config

    data, store = make_data(root), LabelStore(root / 'labels')
    store.begin(dict(classes=list(CLASSES)))
    for path in (data / 'SegmentationClassAug').glob('*.png'):
        mask = read_label_png(path)
        store.write(path.stem, Y_crf=mask, Y_ret=mask)
    base = find_config('configs/bana/deeplabv1_vgg16_voc.py').resolve()
    values = dict(BASE=str(base), CLASSES=CLASSES, DATA=str(data), LABELS=str(store.root), ITERATIONS=iterations)
    (root / 'segmentation.py').write_text(_filled(SEGMENTATION, values))
    cfg = Config.fromfile(root / 'segmentation.py')
    cfg.work_dir = str(root / 'work')
    set_num_classes(cfg)
    keep_whole_checkpoints(cfg)
    watch = Watch('training', 'iterations')

    class Look(Hook):
        def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            if (runner.iter + 1) % every == 0:
                watch.look(runner.iter + 1)

    with _quiet():
        runner = Runner.from_cfg(cfg)
        runner.register_hook(Look(), priority='LOWEST')
        runner.train()
    return watch


def make_data(root: Path) -> Path:
    """Twenty images with one to three objects each."""
    from bana_mm.datasets.synthetic import make_synthetic_voc

    return make_synthetic_voc(root / 'voc', 20, 1, image_size=(SIZE, SIZE), classes=CLASSES)


def _classifier(root: Path) -> Path:
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    config = root / 'classifier.py'
    config.write_text(_filled(CLASSIFIER, dict(CLASSES=CLASSES)))
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), config.with_suffix('.pth'))
    return config


def _filled(text: str, values: dict[str, Any]) -> str:
    return ''.join(f'{name} = {value!r}\n' for name, value in values.items() if name != 'BASE') + text.replace(
        '_base_ = BASE', f'_base_ = {values.get("BASE")!r}'
    )


class _quiet:
    """No progress bars and logs: they would be thousands of lines."""

    def __enter__(self) -> None:
        import logging
        import sys

        self.before, self.nowhere = sys.stdout, open(os.devnull, 'w')
        sys.stdout = self.nowhere
        logging.disable(logging.INFO)

    def __exit__(self, *_: Any) -> None:
        import logging
        import sys

        logging.disable(logging.NOTSET)
        sys.stdout = self.before
        self.nowhere.close()


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row for each soak."""
    rows = []
    for one in results:
        begin, end = one['begin'], one['end']
        rows.append(
            [
                one['what'],
                f'{one["count"]} {one["unit"]}',
                f'{begin["bytes"] / 2**20:.1f} -> {end["bytes"] / 2**20:.1f} MiB',
                f'{one["slope"] / 2**10:+.1f} KiB',
                *(f'{begin[name]} -> {end[name]}' for name in ('descriptors', 'processes', 'threads')),
            ]
        )
    return format_table(['', 'of', 'memory', 'slope a thousand', 'descriptors', 'processes', 'threads'], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=20_000, help='labels in all (default: %(default)s)')
    parser.add_argument('--iterations', type=int, default=5_000, help='of the training (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all that was seen there')
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = ('classifier', 'grabcut', 'box_crf')
    with tempfile.TemporaryDirectory() as folder:
        runs: list[Callable[[], Watch]] = [
            lambda name=name: soak_labels(Path(folder), name, args.images // len(names)) for name in names
        ]
        watches = []
        for run in [*runs, lambda: soak_training(Path(folder), args.iterations)]:
            watches.append(run())
            print(table([watches[-1].result()]), flush=True)
    print(table([watch.result() for watch in watches]))
    if args.json is not None:
        content = [dict(watch.result(), counts=watch.counts, seen=watch.seen) for watch in watches]
        with whole_file(args.json) as partial:
            partial.write_text(json.dumps(content) + '\n')


if __name__ == '__main__':
    main()
