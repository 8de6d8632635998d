"""Curves of precision over recall, and of both over the threshold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from .violins import SERIES_COLOURS


@dataclass
class Curve:
    """Precision and recall over thresholds, and how to draw them.

    Args:
        thresholds (np.ndarray): (n,) float, ascending.
        precision (np.ndarray): (n,) float in [0, 1]; NaN is left out.
        recall (np.ndarray): (n,) float in [0, 1].
        mark (int): Position of the threshold that gets a point.
        colour (int): Number of the colour; curves that belong together share one. Defaults to 0.
        style (str): Matplotlib's line style. Defaults to '-'.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    mark: int
    colour: int = 0
    style: str = '-'


def draw_precision_recall(curves: Mapping[str, Curve], title: str = '') -> Figure:
    """Three pictures side by side: precision over recall, precision and recall over the threshold.

    Args:
        curves (Mapping[str, Curve]): By name for the legend.
        title (str): Above the pictures. Defaults to ''.

    Returns:
        Figure: Save it with its ``savefig``.

    Raises:
        ValueError: Without curves.
    """
    if not curves:
        raise ValueError('there is no curve to draw')
    figure = Figure(figsize=(12, 4.4), layout='constrained')
    left, middle, right = figure.subplots(1, 3)
    for name, curve in curves.items():
        look = dict(color=SERIES_COLOURS[curve.colour % len(SERIES_COLOURS)], linestyle=curve.style)
        (line,) = left.plot(curve.recall, curve.precision, **look, label=name)
        middle.plot(curve.thresholds, curve.precision, **look)
        right.plot(curve.thresholds, curve.recall, **look)
        for axes, x, y in (
            (left, curve.recall, curve.precision),
            (middle, curve.thresholds, curve.precision),
            (right, curve.thresholds, curve.recall),
        ):
            axes.plot(x[curve.mark], y[curve.mark], 'o', color=line.get_color(), markersize=5)
    for axes, xlabel, ylabel in (
        (left, 'recall', 'precision'),
        (middle, 'threshold', 'precision'),
        (right, 'threshold', 'recall'),
    ):
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(None, 1.01))
        axes.grid(color='0.9')
        axes.set_axisbelow(True)
    right.set_ylim(0, 1.01)
    middle.set_ylim(left.get_ylim())
    figure.suptitle(title)
    colours = {curve.colour for curve in curves.values()}  # a column of the legend for each
    figure.legend(loc='outside lower center', ncols=len(colours), frameon=False)
    return figure
