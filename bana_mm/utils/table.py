"""Tables for terminals and logs."""

from collections.abc import Sequence


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others, which hold figures, to the right.

    Args:
        header (Sequence[str]): Titles of the columns.
        rows (Sequence[Sequence[str]]): As many cells a row as there are titles.

    Returns:
        str: Lines without a final line break; a rule below the header.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.rjust(width) for cell, width in zip(cells, widths))
        return '  '.join([cells[0].ljust(widths[0]), *others]).rstrip()

    return '\n'.join([line(header), '-' * (sum(widths) + 2 * (len(widths) - 1)), *map(line, rows)])


def percent(share: float) -> float | None:
    """A share in percent to three decimals; None, which JSON can say, for NaN."""
    return round(100 * float(share), 3) if share == share else None


def figure_cell(value: float | None) -> str:
    """A figure with one decimal; a dash for None."""
    return '-' if value is None else f'{value:.1f}'
