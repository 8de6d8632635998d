"""Configs as text that people read and change."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bana_mm.utils.atomic import whole_file

_WIDTH = 120
_MARK = 'Written by init_data'


def data_text(data: Mapping[str, Any], what: str) -> str:
    """The file of a data set, a line for each argument.

    Args:
        data (Mapping): Its ``data``, see :func:`bana_mm.utils.config.apply_data`.
        what (str): What it was made from, for its head.
    """
    head = (
        f'# A data set for all stages: tools/pipeline.py CONFIG --data FILE (docs/own_data.md).\n# {_MARK}: {what}.\n'
    )
    return head + assignment('data', data)


def preset_text(overrides: Mapping[str, Any], data_file: str) -> str:
    """A preset, see :func:`bana_mm.utils.config.apply_preset`.

    Args:
        overrides (Mapping): Its parts.
        data_file (str): File of the data set that it is for.
    """
    head = (
        f'# Sizes and lengths for --data {data_file}: --preset FILE beside it (docs/own_data.md).\n'
        f'# {_MARK} as advice: change them as you like.\n'
    )
    return head + assignment('overrides', overrides)


def assignment(name: str, value: Mapping[str, Any]) -> str:
    """``name = dict(...)`` with an argument a line, formatted as ruff formats it."""
    lines = [f'    {key}={_expression(part, 4, len(key) + 2)},' for key, part in value.items()]
    return '\n'.join([f'{name} = dict(', *lines, ')', ''])


def write_text(path: Path, text: str, overwrite: bool = False) -> bool:
    """Write a file that may be there already.

    Args:
        path (Path): Its folder is made where it is missing.
        text (str): What it holds.
        overwrite (bool): Whether another text may be replaced. Defaults to False.

    Returns:
        bool: Whether it was written; False where it is there with this text.

    Raises:
        FileExistsError: If it is there with another text.
    """
    if path.is_file():
        if path.read_text(encoding='utf-8') == text:
            return False
        if not overwrite:
            raise FileExistsError(
                f'{path}: is there already, with another text; replace it (--overwrite), or write elsewhere (--out)'
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding='utf-8')
    return True


def _expression(value: Any, indent: int, used: int) -> str:
    """A value, over several lines where it does not fit in one."""
    flat = _flat(value)
    if indent + used + len(flat) <= _WIDTH or not isinstance(value, (Mapping, list, tuple)):
        return flat
    inner = ' ' * (indent + 4)
    if isinstance(value, Mapping):
        lines = [f'{inner}{key}={_expression(part, indent + 4, len(key) + 2)},' for key, part in value.items()]
        if not _are_names(value):
            lines = [
                f'{inner}{key!r}: {_expression(part, indent + 4, len(repr(key)) + 3)},' for key, part in value.items()
            ]
            return '\n'.join(['{', *lines, ' ' * indent + '}'])
        return '\n'.join(['dict(', *lines, ' ' * indent + ')'])
    left, right = '()' if isinstance(value, tuple) else '[]'
    if all(isinstance(part, str) for part in value):  # names of many classes
        width = _WIDTH - indent - 4
        return '\n'.join([left, *(f'{inner}{line}' for line in _filled(value, width)), ' ' * indent + right])
    lines = [f'{inner}{_expression(part, indent + 4, 1)},' for part in value]
    return '\n'.join([left, *lines, ' ' * indent + right])


def _filled(names: Sequence[str], width: int) -> list[str]:
    """Names one behind the other, as many a line as there is room for."""
    lines = ['']
    for name in names:
        text = f'{name!r},'
        if lines[-1] and len(lines[-1]) + 1 + len(text) > width:
            lines.append(text)
        else:
            lines[-1] = f'{lines[-1]} {text}'.lstrip()
    return lines


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        if _are_names(value):
            return f'dict({", ".join(f"{key}={_flat(part)}" for key, part in value.items())})'
        return f'{{{", ".join(f"{key!r}: {_flat(part)}" for key, part in value.items())}}}'
    if isinstance(value, (list, tuple)):
        return _flat_sequence(value)
    return repr(value)


def _flat_sequence(value: Sequence[Any]) -> str:
    parts = ', '.join(map(_flat, value))
    if isinstance(value, list):
        return f'[{parts}]'
    return f'({parts},)' if len(value) == 1 else f'({parts})'


def _are_names(value: Mapping[str, Any]) -> bool:
    return all(str(key).isidentifier() for key in value)
