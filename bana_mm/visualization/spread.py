"""Figures of several seeds as points, with their mean and standard deviation."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from bana_mm.utils.seeds import spread

from .violins import SERIES_COLOURS


def draw_spread(panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str, columns: int = 2) -> Figure:
    """Rows of points in several panels: a point for each seed, a bar for mean and standard deviation.

    Args:
        panels (Mapping[str, Mapping[str, Sequence[float]]]): Title of a panel to title of a row to its figures. Rows
            run from top to bottom; those without a figure stay empty.
        xlabel (str): What the figures are.
        columns (int): Panels side by side. Defaults to 2.

    Returns:
        Figure: Save it with its ``savefig``.

    Raises:
        ValueError: Without a row.
    """
    panels = {title: rows for title, rows in panels.items() if rows}
    if not panels:
        raise ValueError('there is no row to draw')
    groups = [list(panels.items())[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [0.9 + 0.24 * max(len(rows) for _, rows in group) for group in groups]
    figure = Figure(figsize=(6.2 * columns, sum(heights)), layout='constrained')
    grid = figure.add_gridspec(len(groups), columns, height_ratios=heights)
    for row, group in enumerate(groups):
        for column, (title, figures) in enumerate(group):
            axes = figure.add_subplot(grid[row, column])
            _draw_panel(axes, figures)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(xlabel, fontsize=9)
    return figure


def _draw_panel(axes, rows: Mapping[str, Sequence[float]]) -> None:
    for position, figures in enumerate(rows.values()):
        axes.plot(figures, [position] * len(figures), 'o', color=SERIES_COLOURS[1], markersize=5, zorder=3)
        if len(figures):
            values = spread(figures)
            axes.plot([values.mean], [position], '|', color='black', markersize=12, markeredgewidth=1.8, zorder=4)
            if len(figures) > 1:
                ends = [values.mean - values.deviation, values.mean + values.deviation]
                axes.plot(ends, [position] * 2, '-', color=SERIES_COLOURS[0], linewidth=1.4)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
    axes.tick_params(axis='x', labelsize=8)
    axes.grid(color='0.9')
    axes.set_axisbelow(True)
