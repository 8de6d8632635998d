"""What was found in a data set, and what is advised, in a page of Markdown."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

from bana_mm.utils.problems import KINDS, Problem
from bana_mm.utils.table import markdown_table

from .advice import MIN_ITERATIONS, VOC_CROP, VOC_SIDE, Advice, Schedule
from .statistics import MIN_BACKGROUND, Spread, Statistics

FEW_BOXES = 10
_SHOWN = 10  # problems
_NAMES = 20


def data_page(
    title: str,
    statistics: Statistics | None,
    advice: Advice | None,
    problems: Sequence[Problem],
    remarks: Sequence[str] = (),
    next_steps: Mapping[str, str] | None = None,
) -> str:
    """The page.

    Args:
        title (str): The data set and its format.
        statistics (Statistics | None): What it is like; None where nothing could be read.
        advice (Advice | None): What to change for it; None without boxes to learn from.
        problems (Sequence[Problem]): What is wrong with it.
        remarks (Sequence[str]): What somebody should know of it.
        next_steps (Mapping[str, str] | None): What to do, and the command for it. Defaults to None, nothing.

    Returns:
        str: Markdown with a line break at its end.
    """
    blocks = [f'# {title}']
    if statistics is not None:
        blocks += _found(statistics)
    notes = [*remarks, *(_notes(statistics) if statistics is not None else ())]
    if notes:
        blocks.append('\n'.join(f'- {note}' for note in notes))
    blocks += _problems(problems)
    if advice is not None:
        blocks += _advice(advice)
    if next_steps:
        blocks += ['## Next', '\n'.join(f'    # {what}\n    {line}' for what, line in next_steps.items())]
    return '\n\n'.join(blocks) + '\n'


def data_summary(statistics: Statistics) -> str:
    """What a data set holds, in a line."""
    images = ', '.join(f'{_number(count, "image")} in {mode}' for mode, count in statistics.images.items())
    classes = _names([f'{name} ({one.boxes})' for name, one in statistics.classes.items()])
    return f'{images}; boxes: {classes}'


def problem_lines(problems: Sequence[Problem]) -> str:
    """All problems, by file, one a line: severity, kind, message."""
    lines = []
    for problem in sorted(problems, key=lambda one: one.file):
        lines.append(f'{problem.severity}: {problem.kind}: {problem.message}')
    return '\n'.join(lines)


def problem_summary(problems: Sequence[Problem]) -> str:
    """How many there are, in a line."""
    if not problems:
        return 'no problem found'
    errors = sum(problem.severity == 'error' for problem in problems)
    files = len({problem.file for problem in problems})
    counts = (errors, 'error'), (len(problems) - errors, 'warning')
    told = ' and '.join(_number(count, what) for count, what in counts if count)
    return f'{told} in {_number(files, "file")}'


def _number(count: int, what: str, several: str | None = None) -> str:
    return f'{count} {what if count == 1 else several or f"{what}s"}'


def _found(statistics: Statistics) -> list[str]:
    total = statistics.total
    images = ', '.join(f'{count} in {mode}' for mode, count in statistics.images.items())
    masks = ', '.join(f'{count} of {statistics.images[mode]} in {mode}' for mode, count in statistics.masks.items())
    rows = [
        ['images', images],
        ['longer side, pixels', _spread(statistics.long_side)],
        ['shorter side, pixels', _spread(statistics.short_side)],
        ['boxes an image', _spread(statistics.box_count)],
    ]
    if statistics.box_size is not None and statistics.box_share is not None:
        share = Spread(*(100 * value for value in vars(statistics.box_share).values()))
        rows += [
            ['size of a box (root of its area), pixels', _spread(statistics.box_size)],
            ['size of a box, % of the longer side', _spread(share)],
        ]
    rows += [
        ['images without a box, all background', _share(statistics.without_boxes, total)],
        ['images without definite background', _share(statistics.without_background, total)],
        [f'images with less than {MIN_BACKGROUND:.1%} of it', _share(statistics.little_background, total)],
        ['images with a mask', masks],
    ]
    if statistics.ignored:
        rows.append(['boxes that are neither object nor background', str(statistics.ignored)])
    modes = list(statistics.images)
    header = ['class', 'boxes', *(f'in {mode}' for mode in modes if len(modes) > 1), 'images', 'median size, pixels']
    classes = [
        [
            name,
            str(one.boxes),
            *(str(one.parts[mode]) for mode in modes if len(modes) > 1),
            str(one.images),
            '-' if one.size is None else f'{one.size:.0f}',
        ]
        for name, one in statistics.classes.items()
        if one.boxes
    ]
    text = 'Spreads are: least, quarter, **median**, three quarters, largest.'
    return ['## Found', markdown_table(['', ''], rows), text, markdown_table(header, classes)]


def _notes(statistics: Statistics) -> list[str]:
    notes = []
    counts = {name: one.parts.get('train', one.boxes) for name, one in statistics.classes.items()}
    empty = [name for name, count in counts.items() if not count]
    if empty:
        notes.append(f'No box to learn from: {_names(empty)}.')
    few = [name for name, count in counts.items() if 0 < count < FEW_BOXES]
    if few:
        notes.append(f'Few boxes to learn from: {_names([f"{name} ({counts[name]})" for name in few])}.')
    for name in few:
        others = [other for other, count in counts.items() if count > 5 * counts[name]]
        for other in [other for other in others if _may_be_one(name, other)][:1]:
            told = _number(counts[name], 'box', 'boxes')
            notes.append(f'Is {name!r} ({told}) another spelling of {other!r} ({counts[other]})?')
    return notes


def _may_be_one(name: str, other: str) -> bool:
    """Whether a name may be another one with a slip: its letters in another order or case, or nearly all of them."""
    first, second = name.casefold(), other.casefold()
    return sorted(first) == sorted(second) or difflib.SequenceMatcher(None, first, second).ratio() >= 0.75


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ', '.join(names[:_NAMES]) + (f' and {more} more' if more > 0 else '')


def _problems(problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return ['## Problems', 'None found.']
    counts = Counter((problem.severity, problem.kind) for problem in problems)
    rows = [[kind, severity, str(count), KINDS[kind]] for (severity, kind), count in sorted(counts.items())]
    worst = sorted(problems, key=lambda one: one.severity)[:_SHOWN]
    shown = '\n'.join(f'- {problem.severity}: {problem.message}' for problem in worst)
    more = len(problems) - len(worst)
    blocks = ['## Problems', problem_summary(problems) + '. Training stops at errors.']
    blocks += [markdown_table(['kind', '', 'number', 'what'], rows), shown]
    return [*blocks, f'{more} more: --check lists all.'] if more else blocks


def _advice(advice: Advice) -> list[str]:
    bilateral, gaussian = advice.bilateral(), advice.gaussian()
    rows = [
        ['scale (longer side before it is varied by 0.5 to 1.5), pixels', str(advice.scale), str(VOC_SIDE)],
        ['crop, pixels', str(advice.crop), str(VOC_CROP)],
        ["distances of the labels' CRF (bilateral, Gaussian), pixels", f'{bilateral[1]:g}, {gaussian[1]:g}', '55, 3'],
        _schedule('classifier', advice.classifier),
        _schedule('segmentation model', advice.segmentation),
    ]
    rows[3].append('8000')
    rows[4].append('23805')
    blocks = ['## Advice', markdown_table(['', 'here', 'PASCAL VOC'], rows)]
    if advice.reasons:
        blocks.append('\n'.join(f'- {reason}' for reason in advice.reasons))
    return blocks


def _schedule(what: str, schedule: Schedule) -> list[str]:
    told = f'{schedule.advised}'
    if schedule.advised > schedule.iterations:
        told += f' (at least {MIN_ITERATIONS}; {schedule.epochs} epochs are {schedule.iterations})'
    return [f'iterations of 20 images, {what}: {schedule.epochs} epochs', told]


def _spread(spread: Spread) -> str:
    cells = [f'{value:.3g}' if value < 100 else f'{value:.0f}' for value in vars(spread).values()]
    return f'{cells[0]}, {cells[1]}, **{cells[2]}**, {cells[3]}, {cells[4]}'


def _share(count: int, total: int) -> str:
    return f'{count} ({count / total:.0%})'
