"""Curves as SVG inside a page: crisp at any size, readable without a script, and a few kilobytes each.

Not matplotlib's SVG: it names its parts alike in every picture, which clash on one page.
"""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from bana_mm.visualization.violins import SERIES_COLOURS

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 10, 36  # of the frame around the curves
MAX_POINTS = 300


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]], title: str, xlabel: str = 'iteration') -> Markup:
    """Curves over steps, with axes and a legend.

    Args:
        series (Mapping[str, Sequence[tuple[float, float]]]): Name to points; values that are not finite are left out.
        title (str): What the values are.
        xlabel (str): What the steps are. Defaults to 'iteration'.

    Returns:
        Markup: A ``figure`` element; empty where there is no point.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    finite = {name: thinned(points) for name, points in finite.items() if points}
    if not finite:
        return Markup('')
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    x_ticks, y_ticks = ticks(min(0.0, *xs), max(xs)), ticks(min(ys), max(ys))
    x_range, y_range = (x_ticks[0], max(x_ticks[-1], max(xs))), (y_ticks[0], y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / (x_range[1] - x_range[0])
        up = (y - y_range[0]) / (y_range[1] - y_range[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for value in y_ticks:
        _, y = place(x_range[0], value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in x_ticks:
        x, _ = place(value, y_range[0])
        if x <= WIDTH - RIGHT:
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(xlabel)}</text>'
    )
    for number, (name, points) in enumerate(finite.items()):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        placed = [place(x, y) for x, y in points]
        line = ' '.join(f'{x:.1f},{y:.1f}' for x, y in placed)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{line}"/>')
        if len(points) <= 12:  # a few validations: each is a point
            for (x, y), (step, value) in zip(placed, points):
                told = f'<title>{escape(name)}: {value:.4g} at {step:g}</title>'
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}">{told}</circle>')
    parts.append('</svg>')
    legend = ''.join(
        f'<span><i style="background:{SERIES_COLOURS[number % len(SERIES_COLOURS)]}"></i>{escape(name)} '
        f'<b>{points[-1][1]:.4g}</b></span>'
        for number, (name, points) in enumerate(finite.items())
    )
    return Markup(
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{"".join(parts)}'
        f'<div class="legend">{legend}</div></figure>'
    )


def thinned(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most this many points: each the mean of its neighbours, the last one as it is."""
    if len(points) <= most:
        return list(points)
    size = math.ceil((len(points) - 1) / (most - 1))
    groups = [points[start : start + size] for start in range(0, len(points) - 1, size)]
    means = [(sum(x for x, _ in one) / len(one), sum(y for _, y in one) / len(one)) for one in groups]
    return [*means, points[-1]]


def ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Round numbers, equally far apart, of which the first is at most ``low`` and the last at least ``high``."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        around = abs(low) / 2 or 0.5
        low, high = low - around, high + around
    rough = (high - low) / number
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
