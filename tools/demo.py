"""Train all stages on made-up images, print what each gains, and draw panels.

Two classifiers (plain and background-aware pooling) give labels; four segmentation models are trained: on whole boxes,
on Y_crf with cross entropy, on Y_crf with the noise-aware loss, and on the full masks. What is done is skipped when it
is started again.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from mmengine.config import Config

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.labels import usable_cores
from bana_mm.utils.stages import (
    Step,
    StepError,
    evaluate_step,
    final_checkpoint,
    is_newer,
    label_step,
    read_scores,
    test_step,
    train_step,
)
from bana_mm.utils.table import format_table

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'demo'
CLASSIFIERS = dict(bap='background-aware pooling', gap='plain pooling')
SEGMENTATIONS = dict(box='whole boxes', ce='Y_crf, cross entropy', nal='Y_crf, noise-aware loss', masks='full masks')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out-dir', default='work_dirs/demo', help='folder of everything (default: %(default)s)')
    parser.add_argument('--num-train', type=int, default=300, help='training images (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=50, help='validation images (default: %(default)s)')
    parser.add_argument('--classifier-iters', type=int, help="iterations of stage 1 (default: the configs')")
    parser.add_argument('--segmentation-iters', type=int, help="iterations of stage 3 (default: the configs')")
    parser.add_argument('--panels', type=int, default=10, help='how many images to draw (default: %(default)s)')
    parser.add_argument(
        '--jobs', type=int, default=min(2, usable_cores()), help='trainings side by side (default: %(default)s)'
    )
    return parser.parse_args()


class Demo:
    """The steps of the demonstration and the order they need.

    Args:
        args (argparse.Namespace): Arguments of the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.root = Path(args.out_dir)
        self.data = self.root / 'data'
        self.threads = max(1, usable_cores() // args.jobs)
        self.failed = False

    def prepare(self) -> None:
        """Check that the folder was not begun with other settings, and draw the images.

        Raises:
            ValueError: If it was.
        """
        settings = {
            key: getattr(self.args, key) for key in ('num_train', 'num_val', 'classifier_iters', 'segmentation_iters')
        }
        path = self.root / 'settings.json'
        if path.is_file() and json.loads(path.read_text()) != settings:
            raise ValueError(
                f'{path}: this folder was begun with other settings ({path.read_text()}); choose another '
                '--out-dir, or remove it'
            )
        self.root.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
        print(f'drawing {self.args.num_train} + {self.args.num_val} images', flush=True)
        make_synthetic_voc(self.data, self.args.num_train, self.args.num_val)

    def labels(self, name: str, splits: tuple[str, ...]) -> None:
        """Train a classifier and make its labels."""
        cfg, options = self._config(f'demo_{name}.py', self.args.classifier_iters)
        checkpoint = final_checkpoint(cfg, self.root / name)
        self._run(train_step(f'classifier, {CLASSIFIERS[name]}', cfg, self.root / name, options))
        for split in splits:
            ids = (self.data / f'ImageSets/Segmentation/{split}.txt').read_text().split()
            self._run(
                label_step(
                    f'labels of {split}, {CLASSIFIERS[name]}',
                    cfg.filename,
                    checkpoint,
                    self._label_dir(name),
                    split,
                    ids,
                    workers=1,
                )
            )
        self._run(
            evaluate_step(
                f'evaluation, {CLASSIFIERS[name]}',
                self._label_dir(name),
                self.data / 'SegmentationClassAug',
                self.data,
                splits[0],
            )
        )

    def segmentation(self, name: str, after: Future | None = None) -> None:
        """Train and test a segmentation model, when the labels that it needs are there."""
        if after is not None:
            after.result()
        cfg, options = self._config(f'demo_{name}.py', self.args.segmentation_iters)
        self._run(train_step(f'segmentation, {SEGMENTATIONS[name]}', cfg, self.root / name, options))
        self._run(
            test_step(
                f'test, {SEGMENTATIONS[name]}', cfg, self.root / name, options, out=self.root / name / 'predictions'
            )
        )

    def panels(self) -> None:
        """Draw validation images."""
        cfg, _ = self._config('demo_bap.py', self.args.classifier_iters)
        checkpoint = final_checkpoint(cfg, self.root / 'bap')
        captions = dict(box='on boxes', ce='on Y_crf', nal='NAL', masks='on masks')
        out = self.root / 'panels'
        command = [
            'analysis/draw_panels.py',
            cfg.filename,
            '--checkpoint',
            str(checkpoint),
            '--out-dir',
            str(out),
            '--label-dir',
            str(self._label_dir('bap')),
            '--number',
            str(self.args.panels),
            '--predictions',
        ]
        command += [f'{caption}={self.root / name / "predictions"}' for name, caption in captions.items()]
        wanted = min(self.args.panels, self.args.num_val)
        self._run(
            Step('panels', command, lambda: sum(is_newer(path, [checkpoint]) for path in out.glob('*.png')) >= wanted)
        )

    def run(self) -> None:
        """Run all steps, several side by side."""
        with ThreadPoolExecutor(self.args.jobs) as pool:
            # The labels that others wait for come first, so no waiting step can keep them from running.
            bap = pool.submit(self.labels, 'bap', ('train_aug', 'val'))
            futures = [bap, pool.submit(self.labels, 'gap', ('train_aug',))]
            futures += [pool.submit(self.segmentation, name) for name in ('box', 'masks')]
            futures += [pool.submit(self.segmentation, name, bap) for name in ('ce', 'nal')]
        for future in futures:
            future.result()
        self.panels()

    def table(self) -> str:
        """All figures, read from the files that the steps have written."""
        bap, gap = (json.loads((self._label_dir(name) / 'train_aug.json').read_text())['rows'] for name in CLASSIFIERS)
        rows = [
            [f'labels: {title}', f'{figures["mIoU"]:.1f}', f'{figures["ignored"]:.1f}']
            for title, figures in (
                ('whole box', bap['box']),
                ('GAP', gap['Y_crf']),
                ('BAP, Y_crf', bap['Y_crf']),
                ('BAP, Y_ret', bap['Y_ret']),
                ('BAP, agreement of the two', bap['agree']),
            )
        ]
        rows += [
            [f'segmentation from {title}', f'{read_scores(self.root / name)["mIoU"]:.1f}', '']
            for name, title in SEGMENTATIONS.items()
        ]
        return format_table(['', 'mIoU', 'ignored %'], rows)

    def _config(self, name: str, iters: int | None) -> tuple[Config, list[str]]:
        """A config, and the overrides that shorten or lengthen its training."""
        cfg = Config.fromfile(CONFIGS / name)
        if iters is None:
            return cfg, []
        cfg.train_cfg.max_iters = iters
        keys = ('train_cfg.max_iters', 'train_cfg.val_interval', 'param_scheduler.0.end')
        return cfg, [f'{key}={iters}' for key in keys]

    def _label_dir(self, name: str) -> Path:
        return self.root / f'labels_{name}'

    def _run(self, step: Step) -> None:
        if self.failed:
            raise StepError(f'{step.title} was not begun')
        try:
            log = self.root / 'logs' / f'{step.title.replace(", ", "-").replace(" ", "_")}.log'
            step.run(log, env=dict(DEMO_ROOT=str(self.root), OMP_NUM_THREADS=str(self.threads)))
        except BaseException:
            self.failed = True
            raise


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    os.environ['DEMO_ROOT'] = args.out_dir
    demo = Demo(args)
    demo.prepare()
    try:
        demo.run()
    except StepError as error:
        sys.exit(f'{error}\nThe same command goes on from here.')
    table = demo.table()
    (demo.root / 'table.txt').write_text(table + '\n')
    print(f'\nmIoU in percent: labels on {args.num_train} training images, segmentation on {args.num_val} others')
    print(table)
    print(f'\n{time.monotonic() - start:.0f} s; panels in {demo.root / "panels"}, logs in {demo.root / "logs"}')


if __name__ == '__main__':
    main()
