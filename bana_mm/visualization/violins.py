"""Distributions side by side as violins (paper Fig. 4b)."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart; the first series stands out in grey.
SERIES_COLOURS = ('#555555', '#E69F00', '#0072B2', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#F0E442')


def draw_violins(
    groups: Mapping[str, Mapping[str, np.ndarray]], ylabel: str, title: str = '', limits: tuple[float, float] = (0, 1)
) -> Figure:
    """Violins in groups, a group for each class, a violin for each kind of labels.

    A violin is as wide as its values are dense; the black line marks their mean, thin lines the least and the largest.
    Values that are all alike, or fewer than three, are drawn as points.

    Args:
        groups (Mapping[str, Mapping[str, np.ndarray]]): Group to series to (n,) float values. All groups have the same
            series; values may be empty.
        ylabel (str): What the values are.
        title (str): Above the picture. Defaults to ''.
        limits (tuple[float, float]): Range of the values. Defaults to (0, 1).

    Returns:
        Figure: Save it with its ``savefig``.

    Raises:
        ValueError: Without groups, or if they have different series.
    """
    series = list(next(iter(groups.values()), {}))
    if not series or any(list(group) != series for group in groups.values()):
        raise ValueError(
            f'violins need one or more groups with the same series, got '
            f'{ {name: list(group) for name, group in groups.items()} }'
        )
    figure = Figure(figsize=(max(6, 1.2 + 0.32 * len(groups) * (len(series) + 1)), 4.2), layout='constrained')
    axes = figure.add_subplot()
    step = len(series) + 1
    for number, name in enumerate(series):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        for position, group in zip(range(number, step * len(groups), step), groups.values()):
            _draw_one(axes, np.asarray(group[name], dtype=float), position, colour)
        axes.plot([], [], 's', color=colour, markersize=9, label=name)  # for the legend only
    middle = (len(series) - 1) / 2
    axes.set_xticks(np.arange(len(groups)) * step + middle, list(groups))
    axes.set_xlim(-1, step * len(groups) - 1)
    margin = 0.02 * (limits[1] - limits[0])
    axes.set_ylim(limits[0] - margin, limits[1] + margin)
    for border in range(1, len(groups)):
        axes.axvline(border * step - 1, color='0.85', linewidth=0.8, zorder=0)
    axes.grid(axis='y', color='0.9')
    axes.set_axisbelow(True)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    figure.legend(loc='outside lower center', ncols=len(series), frameon=False)
    return figure


def _draw_one(axes, values: np.ndarray, position: float, colour: str) -> None:
    if len(values) < 3 or np.ptp(values) < 1e-6:  # no density
        axes.plot([position] * len(values), values, '.', color=colour)
        return
    drawn = axes.violinplot(values, positions=[position], widths=0.9, showmeans=True, points=200)
    for body in drawn['bodies']:
        body.set(facecolor=colour, edgecolor=colour, alpha=0.75)
    for part in ('cbars', 'cmins', 'cmaxes'):
        drawn[part].set(color=colour, linewidth=0.8)
    drawn['cmeans'].set(color='black', linewidth=1.5)
