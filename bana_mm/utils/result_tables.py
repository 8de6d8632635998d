"""Tables of results for a README: published figures beside ours.

Two YAML files feed them. ``experiments.yml`` lists the tables, their rows and the published figures; ``metafile.yml``,
in the form that OpenMMLab's mim reads, lists the configs and our figures. Each figure stands in one of them only.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .table import markdown_table

BEGIN, END = '<!-- tables: begin -->', '<!-- tables: end -->'
DASH = '–'
# What the metric of the mean over the background and the subset's five animals ends with.
SIX = ', six classes'


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ValueError: If it is not valid; the message names the file.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'{path}: not valid YAML ({error})') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path}: must hold a mapping')
    return content


def read_experiments(path: str | Path, models: Iterable[str]) -> dict[str, Any]:
    """``experiments.yml``, checked, with the siblings of its rows.

    A table's ``Sibling`` is the name of a label recipe. Each of its rows that has a ``Recipe`` gets a sibling at the
    end of the table, the same on labels of the recipe ``Sibling``, without published figures, and with the recipe's
    name in its ``Suffix``. Rows with ``Sibling: false`` have none.

    Args:
        path (str | Path): The file.
        models (Iterable[str]): Configs that there are.

    Raises:
        ValueError: If a row names an unknown config or has another number of figures than its table; the message names
            the row.
    """
    content, models = read_yaml(path), set(models)
    for table in content['Tables']:
        for row in table['Rows']:
            where = f'{path}: {table["Title"]}: row {row["Method"]!r}'
            if row['Config'] not in models:
                raise ValueError(f'{where}: there is no config {row["Config"]!r}')
            for key in ('Paper', 'Reproduction'):
                if key in row and len(row[key]) != len(table['Figures']):
                    raise ValueError(f'{where}: {key} has {len(row[key])} figures, its table {len(table["Figures"])}')
        if 'Sibling' in table:
            table['Rows'] += [
                _sibling(row, table['Sibling']) for row in table['Rows'] if 'Recipe' in row and row.get('Sibling', True)
            ]
    return content


def _sibling(row: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    own = {key: value for key, value in row.items() if key not in ('Paper', 'Reproduction')}
    suffix = ' '.join(filter(None, (row.get('Suffix'), f'recipe {recipe}')))
    return {**own, 'Recipe': dict(recipe=recipe), 'Suffix': suffix}


def metric_name(figure: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Name of a row's figure among the metrics of its config."""
    return ' '.join(filter(None, (figure['Metric'], row.get('Suffix'))))


def known_metrics(metafile: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    """Our figures by config, data set and metric."""
    return {
        (model['Name'], result['Dataset'], name): value
        for model in metafile['Models']
        for result in model.get('Results', ())
        for name, value in result['Metrics'].items()
    }


def render_tables(experiments: Mapping[str, Any], metafile: Mapping[str, Any], descriptions: Mapping[str, str]) -> str:
    """All tables as Markdown, and one of the configs that none of them names.

    Args:
        experiments (Mapping): Content of ``experiments.yml``.
        metafile (Mapping): Content of ``metafile.yml``.
        descriptions (Mapping[str, str]): What each config is, by name.

    Returns:
        str: Lines without a final line break.
    """
    known = known_metrics(metafile)
    files = {model['Name']: Path(model['Config']).name for model in metafile['Models']}
    sections, shown = [], set()
    reproduced = any('Reproduction' in row for table in experiments['Tables'] for row in table['Rows'])
    for table in experiments['Tables']:
        figures, subset = table['Figures'], (table.get('Subset') or {}).get('Dataset')
        order = ' / '.join(figure['Name'] for figure in figures)
        has_recipes = any('Recipe' in row for row in table['Rows'])
        header = ['', 'config', *['recipe'] * has_recipes, 'paper', *['[Re]'] * reproduced, 'ours']
        header += ['ours, animals'] * bool(subset)
        rows = []
        for row in table['Rows']:
            shown.add(row['Config'])
            ours = [known.get((row['Config'], figure['Dataset'], metric_name(figure, row))) for figure in figures]
            cells = [
                row['Method'],
                row.get('Run') or f'[{row["Config"]}]({files[row["Config"]]})',
                *[recipe_text(row)] * has_recipes,
                *map(_cell, (row.get('Paper', ()), *[row.get('Reproduction', ())] * reproduced, ours)),
            ]
            if subset:
                cells.append(_subset_cell(row, figures[0], subset, known))
            rows.append(cells)
        parts = [
            f'### {table["Title"]}',
            f'Figures: {order}.' + (f' {table["Note"]}' if 'Note' in table else ''),
            markdown_table(header, rows),
        ]
        sections.append('\n\n'.join(parts))
    others = [[f'[{name}]({file})', descriptions.get(name, '')] for name, file in files.items() if name not in shown]
    if others:
        sections.append('### Further configs\n\n' + markdown_table(['config', ''], others))
    return '\n\n'.join(sections)


def splice(text: str, tables: str, path: str | Path) -> str:
    """A README's text with its tables, between two marker comments, replaced.

    Raises:
        ValueError: If the markers are not there, once each and in order; the message names the file.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f'{path}: must hold the lines {BEGIN!r} and {END!r} once each, in this order')
    return f'{text[: text.index(BEGIN)]}{BEGIN}\n\n{tables}\n\n{text[text.index(END) :]}'


def recipe_text(row: Mapping[str, Any]) -> str:
    """A recipe's name, and what is changed in it."""
    fields = dict(row.get('Recipe', {}))
    return ', '.join(filter(None, (fields.pop('recipe', None), *(f'{key}={value}' for key, value in fields.items()))))


def _cell(values: Sequence[float | None]) -> str:
    if all(value is None for value in values):
        return ''
    return ' / '.join(DASH if value is None else f'{value:.1f}' for value in values)


def _subset_cell(
    row: Mapping[str, Any], figure: Mapping[str, Any], subset: str, known: Mapping[tuple[str, str, str], float]
) -> str:
    """Over the five animals and the background, and over all classes that occur."""
    name = metric_name(figure, row)
    return _cell([known.get((row['Config'], subset, metric)) for metric in (name + SIX, name)])
