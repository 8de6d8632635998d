"""Plans of comparisons over several seeds: what is trained, on which labels, and what is compared with what.

A plan is a YAML file, ``configs/demo/ablations.yml`` for one. ``classifiers`` and ``trainings`` name configs beside it
and ``options`` to change in them; ``labels`` name a classifier with a ``recipe``, or other labels and a ``change`` of
them. ``start``, if there, is a classifier from whose weights all of them begin, trained once on images of its own
(``classifier``, ``seed``, ``num_train``, ``iters``). ``tables`` list the rows; each is named after labels, or after a
training as ``NAME``, ``NAME@LABELS`` or ``NAME@LABELS*FACTOR`` (that many times the iterations), and its value is the
row that it is compared with.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bana_mm.utils.result_tables import read_yaml
from bana_mm.utils.seeds import Spread, paired_differences, spread
from bana_mm.utils.table import format_table

# Figures of runs: by the run's key, then by seed, then by the figure's name, in percent.
Figures = Mapping[str, Mapping[int, Mapping[str, float]]]


@dataclass(frozen=True)
class Training:
    """One training of stage 3.

    Args:
        name (str): Its entry among the plan's ``trainings``.
        labels (str | None): The labels that it learns from; None for a config that brings its own.
        factor (float): By which its iterations are multiplied.
    """

    name: str
    labels: str | None = None
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> 'Training':
        """From ``NAME[@LABELS][*FACTOR]``.

        Raises:
            ValueError: For another form.
        """
        found = re.fullmatch(r'([\w-]+)(?:@([\w-]+))?(?:\*(\d+(?:\.\d+)?))?', text)
        if not found or (found[3] is not None and float(found[3]) == 0):
            raise ValueError(f'{text!r}: a training is given as NAME, NAME@LABELS or NAME@LABELS*FACTOR')
        return cls(found[1], found[2], float(found[3] or 1))

    @property
    def key(self) -> str:
        """Its name in a plan."""
        return (
            self.name + (f'@{self.labels}' if self.labels else '') + (f'*{self.factor:g}' if self.factor != 1 else '')
        )


@dataclass(frozen=True)
class Table:
    """Rows to compare.

    Args:
        title (str): What is compared.
        kind (str): 'labels' or 'trainings'.
        seeds (int): How many seeds its rows have.
        rows (Mapping[str, str | None]): Keys of the rows, and for each the key of the row that it is compared with.
        figure (str): Name of the figure.
    """

    title: str
    kind: str
    seeds: int
    rows: Mapping[str, str | None]
    figure: str

    def keys(self) -> list[str]:
        """All rows and what they are compared with, each once."""
        return list(dict.fromkeys(key for pair in self.rows.items() for key in pair if key is not None))


@dataclass(frozen=True)
class AblationPlan:
    """A checked plan, see this module; all but ``tables`` is as in the file."""

    path: Path
    classifiers: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Mapping[str, Any]]
    trainings: Mapping[str, Mapping[str, Any]]
    tables: Sequence[Table]
    start: Mapping[str, Any] | None = None

    def row_title(self, table: Table, key: str) -> str:
        """What a table calls a row: as much as tells it from the others."""
        if table.kind == 'labels':
            return self.labels[key].get('title', key)
        training = Training.parse(key)
        others = [Training.parse(other) for other in table.keys()]
        parts = [self.trainings[training.name].get('title', training.name)]
        if training.labels and len({one.labels for one in others if one.labels}) > 1:
            parts.append(self.labels[training.labels].get('title', training.labels))
        if len({one.factor for one in others}) > 1:
            parts.append(f'{training.factor:g} x iterations')
        return ', '.join(parts)


def read_plan(path: str | Path) -> AblationPlan:
    """Read and check a plan.

    Args:
        path (str | Path): The YAML file.

    Raises:
        ValueError: If a row or an entry names something that is not there; the message names file and row.
    """
    path = Path(path)
    content = read_yaml(path)
    parts = {name: content.get(name) or {} for name in ('classifiers', 'labels', 'trainings')}
    for name, entry in parts['labels'].items():
        needs = ('labels', entry.get('of')) if 'of' in entry else ('classifiers', entry.get('classifier'))
        if needs[1] not in parts[needs[0]]:
            raise ValueError(f'{path}: labels {name!r} are made from {needs[1]!r}, which is not among the {needs[0]}')
        if 'of' in entry and 'of' in parts['labels'][entry['of']]:
            raise ValueError(f'{path}: labels {name!r} change {entry["of"]!r}, which are changed labels themselves')
    tables = [
        Table(
            entry['title'],
            entry['kind'],
            entry['seeds'],
            entry['rows'],
            entry.get('figure', 'Y_crf' if entry['kind'] == 'labels' else 'mIoU'),
        )
        for entry in content['tables']
    ]
    for table in tables:
        for key in table.keys():
            names = [('labels', key)]
            if table.kind == 'trainings':
                training = Training.parse(key)
                names = [('trainings', training.name), *([('labels', training.labels)] if training.labels else [])]
            for part, name in names:
                if name not in parts[part]:
                    raise ValueError(f'{path}: table {table.title!r}, row {key!r}: there are no {part} {name!r}')
    start = content.get('start')
    if start and start['classifier'] not in parts['classifiers']:
        raise ValueError(f'{path}: start: there are no classifiers {start["classifier"]!r}')
    return AblationPlan(path, **parts, tables=tables, start=start)


@dataclass(frozen=True)
class Comparison:
    """A row of a table.

    Args:
        title (str): Its title.
        figures (Mapping[int, float]): By seed.
        reference (str | None): Title of the row that it is compared with.
        differences (Mapping[int, float]): To that row, by seed.
    """

    title: str
    figures: Mapping[int, float]
    reference: str | None
    differences: Mapping[int, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        result = dict(title=self.title, figures=self.figures, **_numbers(spread(self.figures.values())))
        if self.reference is not None:
            difference = _numbers(spread(self.differences.values()))
            result.update(reference=self.reference, difference=dict(figures=self.differences, **difference))
        return result


def compare(plan: AblationPlan, table: Table, figures: Figures) -> list[Comparison]:
    """The rows of a table with the figures that there are."""

    def by_seed(key: str) -> dict[int, float]:
        return {seed: one[table.figure] for seed, one in sorted(figures.get(key, {}).items()) if table.figure in one}

    return [
        Comparison(
            plan.row_title(table, key),
            by_seed(key),
            reference and plan.row_title(table, reference),
            paired_differences(by_seed(key), by_seed(reference)) if reference else {},
        )
        for key, reference in table.rows.items()
    ]


def comparison_table(rows: Sequence[Comparison], form: Callable[..., str] = format_table) -> str:
    """Mean, standard deviation, and the mean difference to another row with its standard error.

    Args:
        rows (Sequence[Comparison]): The rows.
        form (Callable): Puts a header and rows together. Defaults to :func:`format_table`.
    """
    lines = []
    for row in rows:
        figures, difference = spread(row.figures.values()), spread(row.differences.values())
        numbers = [
            _cell(figures.mean),
            _cell(figures.deviation),
            _cell(difference.mean, '+.2f'),
            _cell(difference.error),
        ]
        lines.append([row.title, str(figures.count), *numbers, row.reference or ''])
    return form(['', 'seeds', 'mean', 'sd', 'difference', 'se', 'to'], lines)


def _cell(value: float, form: str = '.2f') -> str:
    return format(value, form) if value == value else ''


def _numbers(values: Spread) -> dict[str, float | None]:
    numbers = dict(mean=values.mean, deviation=values.deviation, error=values.error)
    return {name: value if value == value else None for name, value in numbers.items()}


# Seed, kind ('data', 'classifier', 'labels' or 'training') and name of something to run.
Item = tuple[int, str, str]


def needs(plan: AblationPlan, item: Item) -> list[Item]:
    """What must be there before something can run."""
    seed, kind, name = item
    if kind == 'classifier':
        return [(seed, 'data', '')]
    if kind == 'labels':
        entry = plan.labels[name]
        return [(seed, 'labels', entry['of']) if 'of' in entry else (seed, 'classifier', entry['classifier'])]
    if kind == 'training':
        labels = Training.parse(name).labels
        return [(seed, 'labels', labels) if labels else (seed, 'data', '')]
    return []


def make_schedule(plan: AblationPlan, tables: Sequence[Table], seeds: Iterable[int]) -> list[Item]:
    """What is run, each once: seed after seed, table after table. What others need stands before them."""
    order: dict[Item, None] = {}

    def add(item: Item) -> None:
        for other in needs(plan, item):
            add(other)
        order[item] = None

    for seed in seeds:
        for table in tables:
            if seed < table.seeds:
                for key in table.keys():
                    add((seed, 'training' if table.kind == 'trainings' else 'labels', key))
    return list(order)
