"""All stages on generated images: two ways to train the classifier, four to train the segmentation model."""

import os
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.utils.config import read_config
from bana_mm.utils.label_origin import final_checkpoint
from bana_mm.utils.record import keep_record, read_json
from bana_mm.utils.resources import resource_root
from bana_mm.utils.run_options import RunOptions, usable_cores
from bana_mm.utils.table import format_table

from .stages import evaluate_step, is_newer, label_step, test_step, train_step
from .step import Step, StepError
from .work_dirs import read_scores, score_files

CLASSIFIERS = dict(bap='background-aware pooling', gap='plain pooling')
SEGMENTATIONS = dict(box='whole boxes', ce='Y_crf, cross entropy', nal='Y_crf, noise-aware loss', masks='full masks')


@dataclass(frozen=True)
class DemoSettings:
    """What the results depend on.

    Args:
        num_train (int): Training images. Defaults to 300.
        num_val (int): Validation images. Defaults to 50.
        classifier_iters (int | None): Iterations of stage 1. Defaults to None, the configs'.
        segmentation_iters (int | None): Iterations of stage 3. Defaults to None, the configs'.
    """

    num_train: int = 300
    num_val: int = 50
    classifier_iters: int | None = None
    segmentation_iters: int | None = None


class Demo:
    """The steps of the demonstration and the order they need.

    Args:
        root (str | os.PathLike): Folder of everything.
        settings (DemoSettings): What the results depend on.
        panels (int): How many validation images to draw. Defaults to 10.
        jobs (int | None): Trainings side by side. Defaults to None, two where there are two cores.
    """

    def __init__(
        self, root: str | os.PathLike, settings: DemoSettings, panels: int = 10, jobs: int | None = None
    ) -> None:
        self.root = Path(root)
        self.data = self.root / 'data'
        self.settings = settings
        self.num_panels = panels
        self.jobs = jobs or min(2, usable_cores())
        # the configs find their data by this name
        self.env = dict(DEMO_ROOT=str(self.root), OMP_NUM_THREADS=str(max(1, usable_cores() // self.jobs)))
        self._failure: BaseException | None = None
        self._running: dict[int, Step] = {}

    def prepare(self) -> None:
        """Check that the folder was not begun with other settings, and draw the images.

        Raises:
            ValueError: If it was.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        way_out = 'choose another --out-dir, or remove it'
        keep_record(self.root / 'settings.json', asdict(self.settings), 'this folder was begun', way_out)
        print(f'drawing {self.settings.num_train} + {self.settings.num_val} images', flush=True)
        make_synthetic_voc(self.data, self.settings.num_train, self.settings.num_val, progress=True)

    def run(self) -> None:
        """Run all steps, several side by side.

        Raises:
            StepError: The first failure; steps that were running meanwhile have ended, others were not begun.
        """
        with ThreadPoolExecutor(self.jobs) as pool:
            # The labels that others wait for come first, so no waiting step can keep them from running.
            bap = pool.submit(self.labels, 'bap', ('train_aug', 'val'))
            futures = [bap, pool.submit(self.labels, 'gap', ('train_aug',))]
            futures += [pool.submit(self.segmentation, name) for name in ('box', 'masks')]
            futures += [pool.submit(self.segmentation, name, bap) for name in ('ce', 'nal')]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException as interruption:
                self._failure = interruption
                for step in list(self._running.values()):
                    step.stop()
                raise
        failures = [self._failure, *(future.exception() for future in futures)]
        for failure in filter(None, failures):
            raise failure
        self.panels()
        self.report()

    def labels(self, name: str, splits: tuple[str, ...]) -> None:
        """Train a classifier and make its labels."""
        cfg, overrides = self._config(f'demo_{name}.py', self.settings.classifier_iters)
        checkpoint, title = final_checkpoint(cfg, self.root / name), CLASSIFIERS[name]
        self._run(train_step(f'classifier, {title}', cfg, self.root / name, overrides))
        folder = self._label_dir(name)
        for split in splits:
            ids = (self.data / f'ImageSets/Segmentation/{split}.txt').read_text().split()
            options = RunOptions(workers=1)
            self._run(label_step(f'labels of {split}, {title}', cfg, checkpoint, folder, split, ids, options))
        masks = self.data / 'SegmentationClassAug'
        self._run(evaluate_step(f'evaluation, {title}', folder, masks, self.data, splits[0]))

    def segmentation(self, name: str, after: Future | None = None) -> None:
        """Train and test a segmentation model, when the labels that it needs are there."""
        if after is not None:
            after.result()
        cfg, overrides = self._config(f'demo_{name}.py', self.settings.segmentation_iters)
        work_dir, title = self.root / name, SEGMENTATIONS[name]
        self._run(train_step(f'segmentation, {title}', cfg, work_dir, overrides))
        self._run(test_step(f'test, {title}', cfg, work_dir, overrides, out=work_dir / 'predictions'))

    def panels(self) -> None:
        """Draw validation images."""
        cfg, _ = self._config('demo_bap.py', self.settings.classifier_iters)
        checkpoint, out = final_checkpoint(cfg, self.root / 'bap'), self.root / 'panels'
        captions = dict(box='on boxes', ce='on Y_crf', nal='NAL', masks='on masks')
        command = ['analysis/draw_panels.py', cfg.filename, '--checkpoint', str(checkpoint), '--out-dir', str(out)]
        command += ['--label-dir', str(self._label_dir('bap')), '--number', str(self.num_panels), '--predictions']
        command += [f'{caption}={self.root / name / "predictions"}' for name, caption in captions.items()]
        wanted = min(self.num_panels, self.settings.num_val)
        self._run(
            Step('panels', command, lambda: sum(is_newer(path, [checkpoint]) for path in out.glob('*.png')) >= wanted)
        )

    @property
    def page(self) -> Path:
        """The page of the whole run."""
        return self.root / 'report.html'

    def report(self) -> None:
        """Write the page of the whole run."""
        scores = [path for name in SEGMENTATIONS for path in score_files(self.root / name)]
        command = ['analysis/report.py', str(self.root), '--training', 'nal']
        self._run(Step('report', command, lambda: is_newer(self.page, scores)))

    def table(self) -> str:
        """All figures, read from the files that the steps have written."""
        bap, gap = (read_json(self._label_dir(name) / 'train_aug.json')['rows'] for name in CLASSIFIERS)
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
        keys = ('train_cfg.max_iters', 'train_cfg.val_interval', 'param_scheduler.0.end')
        overrides = {} if iters is None else dict.fromkeys(keys, iters)
        cfg = read_config(resource_root() / 'configs' / 'demo' / name, overrides)
        return cfg, [f'{key}={value}' for key, value in overrides.items()]

    def _label_dir(self, name: str) -> Path:
        return self.root / f'labels_{name}'

    def _run(self, step: Step) -> None:
        if self._failure is not None:
            raise StepError(f'{step.title} was not begun')
        self._running[id(step)] = step
        try:
            log = self.root / 'logs' / f'{step.title.replace(", ", "-").replace(" ", "_")}.log'
            step.run(log, self.env)
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            del self._running[id(step)]
