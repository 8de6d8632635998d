"""The stages as a sequence of commands that can be stopped and started again.

What is done is read off the files: a final checkpoint, labels for every image, a result that is newer than what it was
made from. Each step is a call of one of the public tools, printed before it runs.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from bana_mm.labels.coco_json import read_record
from bana_mm.labels.store import LabelStore

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


class StepError(RuntimeError):
    """A step that failed; the message says which, and where to read why."""


@dataclass
class Step:
    """One command and how to tell that it need not run.

    Args:
        title (str): What it does, for the reader.
        command (Sequence[str]): Name of a tool, such as ``train.py``, and its arguments.
        is_done (Callable): Whether its results are there.
        prepare (Callable): Called first; raises :class:`StepError` where the step can't run as things are. Defaults
            to nothing.
    """

    title: str
    command: Sequence[str]
    is_done: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None

    def run(self, log: str | os.PathLike | None = None, env: Mapping[str, str] | None = None) -> None:
        """Run the command unless its results are there.

        Args:
            log (str | os.PathLike | None): File for its output. Defaults to None, the terminal.
            env (Mapping[str, str] | None): Changes of the environment. Defaults to None.

        Raises:
            StepError: If the command fails or can't run.
        """
        self.prepare()
        if self.is_done():
            print(f'[{self.title}] done already', flush=True)
            return
        tool, *arguments = map(str, self.command)
        path = TOOLS / tool
        if not path.is_file():
            raise StepError(f'{path} does not exist: the tools come with the repository, run them from a checkout')
        shown = shlex.join(['python', *map(_relative, [str(path), *arguments])])
        print(f'[{self.title}] {shown}', flush=True)
        start = time.monotonic()
        if log is None:
            code = self._call([str(path), *arguments], None, env)
        else:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            with open(log, 'w') as file:
                code = self._call([str(path), *arguments], file, env)
        if code:
            hint = '' if log is None else f'; its output is in {log}, which ends with:\n{_tail(Path(log))}'
            raise StepError(f'{self.title} failed with exit status {code} ({shown}){hint}')
        if not self.is_done():
            raise StepError(f'{self.title} ended without its results ({shown})')
        print(f'[{self.title}] {time.monotonic() - start:.0f} s', flush=True)

    @staticmethod
    def _call(arguments: list[str], output, env: Mapping[str, str] | None) -> int:
        return subprocess.run(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env={**os.environ, **(env or {})},
        ).returncode


def final_checkpoint(cfg: Config, work_dir: str | os.PathLike) -> Path:
    """The checkpoint that a finished training leaves in its work directory.

    Args:
        cfg (Config): The training's config.
        work_dir (str | os.PathLike): Its work directory.

    Raises:
        ValueError: If the config trains nothing.
    """
    loop = cfg.get('train_cfg') or {}
    if loop.get('max_iters') is not None:
        return Path(work_dir) / f'iter_{loop["max_iters"]}.pth'
    if loop.get('max_epochs') is not None:
        return Path(work_dir) / f'epoch_{loop["max_epochs"]}.pth'
    raise ValueError(f'{cfg.filename}: train_cfg has neither max_iters nor max_epochs')


def train_step(
    title: str,
    cfg: Config,
    work_dir: str | os.PathLike,
    options: Sequence[str] = (),
    amp: bool = False,
    labels: str | os.PathLike | None = None,
) -> Step:
    """Train until the final checkpoint is there, from the last checkpoint if there is one.

    A copy of the labels' description stays in the work directory, so that a checkpoint is neither taken as a result nor
    trained on once the labels were made in another way.

    Args:
        title (str): Title of the step.
        cfg (Config): The config as read from its file.
        work_dir (str | os.PathLike): Work directory.
        options (Sequence[str]): ``key=value`` overrides for the tool. Defaults to none.
        amp (bool): Train in mixed precision. Defaults to False.
        labels (str | os.PathLike | None): ``meta.json`` of the labels that it is trained on, or the JSON of pseudo
            masks. Defaults to None.
    """
    command = [
        'train.py',
        cfg.filename,
        '--work-dir',
        work_dir,
        '--resume',
        *(['--amp'] if amp else []),
        *_overrides(options),
    ]
    final = final_checkpoint(cfg, work_dir)
    # mmengine names a checkpoint in this file once it is written completely.
    record = final.with_name('last_checkpoint')

    def prepare() -> None:
        if labels is None or not Path(labels).is_file():
            return
        trained_on, description = Path(work_dir) / 'labels.json', _description(Path(labels))
        if not record.is_file():
            trained_on.parent.mkdir(parents=True, exist_ok=True)
            trained_on.write_text(description)
        elif trained_on.is_file() and trained_on.read_text() != description:
            raise StepError(
                f'{title}: {work_dir} was trained on labels made in another way than those described by '
                f'{labels}; move it away to train anew (its own description is {trained_on})'
            )

    return Step(
        title,
        _strings(command),
        lambda: final.is_file() and record.is_file() and Path(record.read_text().strip()).name == final.name,
        prepare,
    )


def label_step(
    title: str,
    config: str,
    checkpoint: Path,
    label_dir: str | os.PathLike,
    split: str,
    img_ids: Sequence[str],
    workers: int | None = None,
    options: Sequence[str] = (),
) -> Step:
    """Make the labels of a split.

    They are done when no image lacks any and they were begun after the checkpoint was written.

    Args:
        title (str): Title of the step.
        config (str): Config of the classifier.
        checkpoint (Path): Its checkpoint.
        label_dir (str | os.PathLike): Folder of the labels.
        split (str): Name of the split.
        img_ids (Sequence[str]): Images of the split.
        workers (int | None): Processes for the CRF. Defaults to None, the tool's default.
        options (Sequence[str]): ``key=value`` overrides for the tool. Defaults to none.
    """
    store = LabelStore(label_dir)
    command = ['generate_labels.py', config, checkpoint, '--out-dir', label_dir, '--split', split]
    command += ([] if workers is None else ['--workers', workers]) + _overrides(options)
    return Step(
        title,
        _strings(command),
        lambda: not store.missing(img_ids) and is_newer(store.root / 'meta.json', [checkpoint]),
    )


def instance_step(
    title: str,
    config: str,
    checkpoint: Path,
    boxes: str | os.PathLike,
    out: str | os.PathLike,
    img_dir: str | os.PathLike | None = None,
    workers: int | None = None,
    options: Sequence[str] = (),
) -> Step:
    """Make masks of the instances of a COCO file. They are done when their file was written after the checkpoint.

    Args:
        title (str): Title of the step.
        config (str): Config of the classifier.
        checkpoint (Path): Its checkpoint.
        boxes (str | os.PathLike): COCO's JSON of the boxes.
        out (str | os.PathLike): JSON of the masks.
        img_dir (str | os.PathLike | None): Folder of the images. Defaults to None, the tool's default.
        workers (int | None): Processes for the CRF. Defaults to None, the tool's default.
        options (Sequence[str]): ``key=value`` overrides for the tool. Defaults to none.
    """
    command = ['generate_labels.py', config, checkpoint, '--coco', boxes, '--out', out]
    command += [] if img_dir is None else ['--img-dir', img_dir]
    command += ([] if workers is None else ['--workers', workers]) + _overrides(options)
    return Step(title, _strings(command), lambda: is_newer(Path(out), [checkpoint]))


def evaluate_step(
    title: str,
    label_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    data_root: str | os.PathLike,
    split: str,
    sources: Sequence[str] = ('box',),
) -> Step:
    """Compare the labels of a split and those of some sources with masks; writes ``label_dir/SPLIT.json``.

    Args:
        title (str): Title of the step.
        label_dir (str | os.PathLike): Folder of the labels.
        mask_dir (str | os.PathLike): Folder of the masks.
        data_root (str | os.PathLike): Root of the data set in VOC's layout.
        split (str): Name of the split.
        sources (Sequence[str]): Labels made from the boxes to compare with. Defaults to ``('box',)``.
    """
    result = Path(label_dir) / f'{split}.json'
    command = [
        'evaluate_labels.py',
        label_dir,
        '--gt',
        mask_dir,
        '--split',
        Path(data_root) / 'ImageSets/Segmentation' / f'{split}.txt',
        '--merge',
        'agree',
        '--json',
        result,
    ]
    if sources:
        command += ['--sources', *sources, '--voc-root', data_root]
    return Step(title, _strings(command), lambda: is_newer(result, [Path(label_dir) / 'meta.json']))


def test_step(
    title: str,
    cfg: Config,
    work_dir: str | os.PathLike,
    options: Sequence[str] = (),
    out: str | os.PathLike | None = None,
) -> Step:
    """Test the final checkpoint of a training; the scores go below ``work_dir/test``.

    Args:
        title (str): Title of the step.
        cfg (Config): The config as read from its file.
        work_dir (str | os.PathLike): Work directory of the training.
        options (Sequence[str]): ``key=value`` overrides for the tool. Defaults to none.
        out (str | os.PathLike | None): Folder for the predictions. Defaults to None.
    """
    checkpoint = final_checkpoint(cfg, work_dir)
    command = ['test.py', cfg.filename, checkpoint, '--work-dir', Path(work_dir) / 'test']
    command += ([] if out is None else ['--out', out]) + _overrides(options)
    return Step(title, _strings(command), lambda: any(is_newer(path, [checkpoint]) for path in _score_files(work_dir)))


def read_scores(work_dir: str | os.PathLike) -> dict[str, float]:
    """The scores of the latest test in a work directory, by name; empty before any test."""
    files = _score_files(work_dir)
    return json.loads(max(files, key=lambda path: path.stat().st_mtime).read_text()) if files else {}


def is_newer(path: Path, sources: Iterable[Path]) -> bool:
    """Whether a file is there and was written after all of its sources, as make asks."""
    return path.is_file() and all(not one.exists() or path.stat().st_mtime >= one.stat().st_mtime for one in sources)


def _description(labels: Path) -> str:
    """What labels say about how they were made."""
    return labels.read_text() if labels.name == 'meta.json' else json.dumps(read_record(labels), indent=2)


def _score_files(work_dir: str | os.PathLike) -> list[Path]:
    # mmengine's logger writes the scores of a test as TIMESTAMP/TIMESTAMP.json.
    return [path for path in Path(work_dir).glob('test/*/*.json') if path.stem == path.parent.name]


def _overrides(options: Sequence[str]) -> list[str]:
    return ['--cfg-options', *options] if options else []


def _strings(command: Sequence) -> list[str]:
    return [os.fspath(part) if isinstance(part, os.PathLike) else str(part) for part in command]


def _relative(argument: str) -> str:
    """An argument as one would type it: paths below the working directory without it."""
    return argument.removeprefix(f'{Path.cwd()}{os.sep}')


def _tail(log: Path, lines: int = 15) -> str:
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:])
