"""From a folder to a running project: look at a data set, say what was found and is advised, write its config."""

import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bana_mm.utils.config import read_data
from bana_mm.utils.problems import Problem, ProblemList
from bana_mm.utils.resources import tool_line

from .advice import Advice, advise
from .checking import look_at_images
from .config_file import data_text, preset_text, write_text
from .formats import detect_format
from .formats.source import OUT_FOLDER
from .mask_order import better_order
from .page import data_page
from .prepare import Prepared, Wishes, prepare
from .reading import Part, read_data_parts
from .statistics import Statistics, gather_statistics


@dataclass
class DataReport:
    """What was found in a data set.

    Args:
        root (str): Its folder or file.
        prepared (Prepared): How it is read.
        problems (list[Problem]): What is wrong.
        statistics (Statistics | None): What it is like; None where no image can be used.
        advice (Advice | None): What to change in the configs; None likewise.
        written (list[Path]): Config, preset and page. Defaults to none.
        page (str): In Markdown. Defaults to ''.
        next_steps (dict[str, str]): What to go on with, and the command for it. Defaults to none.
    """

    root: str
    prepared: Prepared
    problems: list[Problem]
    statistics: Statistics | None
    advice: Advice | None
    written: list[Path] = field(default_factory=list)
    page: str = ''
    next_steps: dict[str, str] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """Whether a training would stop."""
        return any(problem.severity == 'error' for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON says it."""
        return dict(
            data=self.root,
            format=self.prepared.format,
            config=self.prepared.data,
            remarks=self.prepared.remarks,
            problems=[problem._asdict() for problem in self.problems],
            statistics=None if self.statistics is None else asdict(self.statistics),
            advice=None if self.advice is None else dict(asdict(self.advice), preset=self.advice.as_preset()),
            written=[str(path) for path in (*self.prepared.written, *self.written)],
        )


def check_data(
    data: str | Path,
    name: str = 'auto',
    wishes: Wishes | None = None,
    ignored: Sequence[str] = (),
    workers: int | None = None,
) -> DataReport:
    """Look at a data set, and write nothing.

    Args:
        data (str | Path): Its folder, COCO's JSON, or the config file of a data set, which is read as it is.
        name (str): Format of the folder, one of ``bana_mm.own_data.formats.FORMATS``. Defaults to 'auto'.
        wishes (Wishes | None): What is wanted of it. Defaults to None, nothing in particular.
        ignored (Sequence[str]): Kinds of problems to leave out. Defaults to none.
        workers (int | None): Processes that decode images. Defaults to None, as many as are worth it.

    Raises:
        FileNotFoundError: If there is no such data.
        ValueError: If its format can't be told, or nothing of it can be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        wishes = replace(wishes or Wishes(), dry=True)
        report = _look(Path(data), name, Path(folder), wishes, ignored, workers)
        # what was written is gone, and nobody knows its folder
        report.prepared.written.clear()
        there = Path(data) if Path(data).is_dir() else Path(data).parent
        report.problems = [
            one._replace(**{key: text.replace(folder, str(there / OUT_FOLDER)) for key, text in one._asdict().items()})
            for one in report.problems
        ]
        return report


def init_data(
    data: str | Path,
    out: str | Path | None = None,
    name: str = 'auto',
    wishes: Wishes | None = None,
    ann_dir: str | Path | None = None,
    overwrite: bool = False,
    ignored: Sequence[str] = (),
    workers: int | None = None,
) -> DataReport:
    """Look at a data set, and write its config.

    ``OUT.py`` is the config, ``OUT_sizes.py`` a preset with what is advised, ``OUT.md`` the page. Where a training
    would stop at errors, only the page is written.

    Args:
        data (str | Path): Its folder, or COCO's JSON.
        out (str | Path | None): The config. Defaults to None, ``configs/own_data/NAME.py``.
        name (str): See :func:`check_data`. Defaults to 'auto'.
        wishes (Wishes | None): See :func:`check_data`. Defaults to None.
        ann_dir (str | Path | None): Folder of what the data lacks, such as boxes in COCO's format. Defaults to None,
            ``bana_mm`` in the data's folder.
        overwrite (bool): Whether to replace files that are there with another text. Defaults to False.
        ignored, workers: See :func:`check_data`.

    Raises:
        FileExistsError: If a file is there with another text.
        FileNotFoundError, ValueError: See :func:`check_data`.
    """
    data = Path(data)
    if data.suffix == '.py':
        raise ValueError(f'{data}: is the config of a data set already; look at it with --check')
    folder = data if data.is_dir() else data.parent
    out = Path(out) if out is not None else Path('configs/own_data', f'{_name(data)}.py')
    if out.suffix != '.py':
        raise ValueError(f'{out}: a config ends in .py')
    ann_dir = Path(ann_dir) if ann_dir is not None else folder / OUT_FOLDER
    # What is wrong is found out before anything is written into the data set.
    report = check_data(data, name, wishes, ignored, workers)
    sizes, page = out.with_name(f'{out.stem}_sizes.py'), out.with_suffix('.md')
    texts: dict[Path, str] = {}
    if not report.has_errors and report.advice is not None:
        found = report.prepared.remarks
        report.prepared = prepare(data, report.prepared.format, ann_dir, wishes or Wishes(), ProblemList())
        report.prepared.remarks = found  # the same and more
        what = f'{report.statistics.total} images of {data.as_posix()} ({report.prepared.format})'
        texts[out] = data_text(report.prepared.data, what)
        texts[sizes] = preset_text(report.advice.as_preset(), out.as_posix())
        report.next_steps = _commands(report.prepared, out, sizes)
    report.page = data_page(
        _title(report), report.statistics, report.advice, report.problems, _remarks(report), report.next_steps
    )
    for path, text in texts.items():
        write_text(path, text, overwrite)
        report.written.append(path)
    write_text(page, report.page, overwrite=True)
    report.written.append(page)
    return report


def _look(data: Path, name: str, out: Path, wishes: Wishes, ignored: Sequence[str], workers: int | None) -> DataReport:
    problems = ProblemList(tuple(ignored))
    if data.suffix == '.py':
        prepared = Prepared('config', read_data(data))
    else:
        name = detect_format(data) if name == 'auto' else name
        try:
            prepared = prepare(data, name, out, wishes, problems)
        except ValueError as error:
            if not problems.errors:
                raise
            prepared = Prepared(name, {}, [f'{error}.'])  # for the errors that are listed
    parts = _read(prepared, problems) if prepared.data else []
    looks = look_at_images(parts, problems, workers)
    statistics = gather_statistics(parts, looks) if any(part.items for part in parts) else None
    order = better_order(parts, looks)
    if order is not None:
        remark = f'The masks fit the boxes better with the classes in this order: --classes {shlex.join(order)}'
        prepared.remarks.append(f'**{remark}**')
    advice = None if statistics is None else advise(statistics)
    report = DataReport(str(data), prepared, problems.found, statistics, advice)
    report.page = data_page(_title(report), statistics, advice, problems.found, _remarks(report))
    return report


def _read(prepared: Prepared, problems: ProblemList) -> list[Part]:
    """The parts of the data; what was written here says nothing that the files it was made of have not said."""
    found = ProblemList(tuple(problems.ignored))
    parts = read_data_parts(prepared.data, found)
    written = {os.path.abspath(path) for path in prepared.written}
    for problem in found.found:
        if not (problem.file.endswith('.json') and os.path.abspath(problem.file) in written):
            problems.keep(problem)
    return parts


def _title(report: DataReport) -> str:
    told = dict(voc="PASCAL VOC's layout", coco="COCO's format", yolo='YOLO', labelme='LabelMe', cvat='CVAT')
    return f'{report.root} ({told.get(report.prepared.format, "config of a data set")})'


def _remarks(report: DataReport) -> list[str]:
    remarks = list(report.prepared.remarks)
    if report.statistics is None and any(problem.kind == 'missing-image' for problem in report.problems):
        remarks.append('No image was found: name the folder that holds both images and annotations.')
    if report.has_errors:
        remarks.append('No config is written: training would stop at the errors below. Correct them and start again.')
    return remarks


def _commands(prepared: Prepared, out: Path, sizes: Path) -> dict[str, str]:
    arguments = ('--data', out.as_posix())
    masks = f'work_dirs/{out.stem}_grabcut'
    model, classifier = 'configs/bana/deeplabv1_vgg16_voc.py', 'configs/bana/bap_vgg16_voc.py'
    lines = {
        f'train all stages on a GPU (change {sizes.name} as you like)': ('--preset', sizes.as_posix()),
        'or on a CPU, with small crops and few iterations': ('--preset', 'cpu'),
    }
    steps = {what: tool_line('pipeline.py', model, *arguments, *preset) for what, preset in lines.items()}
    if prepared.mask_split is not None:
        option = f' --cfg-options pseudo_labels.mask_split={prepared.mask_split}'
        steps = {what: line + option for what, line in steps.items()}
    labels = (*arguments, '--source', 'grabcut', '--out-dir', masks)
    looking = (*arguments, '--source', f'files:{masks}/grabcut', '--times', '1', '--out-dir', f'{masks}/pictures')
    steps['or make masks without any training'] = tool_line('generate_labels.py', classifier, *labels)
    steps['and look at some of them'] = tool_line('analysis/browse.py', model, *looking)
    return steps


def _name(data: Path) -> str:
    """A name for files and Python, from the folder of the data."""
    name = re.sub(r'\W+', '_', data.resolve().stem if data.suffix else data.resolve().name).strip('_')
    return name or 'own_data'
