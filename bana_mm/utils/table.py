"""Tables for terminals, logs and documents.

tabulate lays out what people read in a terminal; unlike rich, which mm* bring along, it never cuts a table to the width
of one, which a log file does not have. Markdown's pipes are written by hand: columns padded to one width would change
every line of a document with one cell.
"""

from collections.abc import Sequence

from tabulate import tabulate


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others, which hold figures, to the right.

    Args:
        header (Sequence[str]): Titles of the columns.
        rows (Sequence[Sequence[str]]): As many cells a row as there are titles. Figures are shown as they are given.

    Returns:
        str: Lines without a final line break; a rule below the header.
    """
    columns = ('left', *['right'] * (len(header) - 1))
    return tabulate(rows, header, 'simple', disable_numparse=True, colalign=columns if rows else None)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown's pipes.

    Args:
        header, rows: See :func:`format_table`.
    """
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(line)} |'.replace('|  |', '| |').replace('|  |', '| |') for line in lines)


def percent(share: float) -> float | None:
    """A share in percent to three decimals; None, which JSON can say, for NaN."""
    return round(100 * float(share), 3) if share == share else None


def figure_cell(value: float | None) -> str:
    """A figure with one decimal; a dash for None."""
    return '-' if value is None else f'{value:.1f}'
