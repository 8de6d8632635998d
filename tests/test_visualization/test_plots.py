import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from bana_mm.visualization.curves import Curve, draw_precision_recall
from bana_mm.visualization.spread import draw_spread
from bana_mm.visualization.violins import draw_violins


def test_violins_and_what_has_no_density():
    rates = np.array([0.2, 0.5, 0.9])
    figure = draw_violins(
        {
            'cat': {'ground truth': rates, 'box': np.ones(5)},
            'cow': {'ground truth': np.array([0.4]), 'box': np.empty(0)},
        },
        'filling rate',
    )
    (axes,) = figure.axes
    bodies = [item for item in axes.collections if isinstance(item, PolyCollection)]
    assert len(bodies) == 1  # the others are points: five of 1, one of .4, none
    low, high = (bodies[0].get_paths()[0].vertices[:, 1].min(), bodies[0].get_paths()[0].vertices[:, 1].max())
    assert (low, high) == pytest.approx((0.2, 0.9))
    points = {
        line.get_xdata()[0]: list(line.get_ydata())
        for line in axes.lines
        if line.get_marker() == '.' and len(line.get_xdata())
    }
    assert points == {1: [1.0] * 5, 3: [0.4]}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ['cat', 'cow']
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['ground truth', 'box']
    assert axes.get_ylim() == pytest.approx((-0.02, 1.02))


def test_violins_need_the_same_series():
    for groups in ({}, {'cat': {}}, {'cat': dict(a=np.ones(1)), 'cow': dict(b=np.ones(1))}):
        with pytest.raises(ValueError, match='one or more groups with the same series'):
            draw_violins(groups, 'filling rate')


def test_curves_and_marks(tmp_path):
    thresholds = np.array([0.0, 0.5, 1.0])
    curve = Curve(thresholds, np.array([0.4, 0.8, np.nan]), np.array([1.0, 0.7, 0.0]), mark=1, colour=2, style='--')
    figure = draw_precision_recall({'CAM': curve}, 'boxes')
    left, middle, right = figure.axes
    for axes, x, y in (
        (left, curve.recall, curve.precision),
        (middle, thresholds, curve.precision),
        (right, thresholds, curve.recall),
    ):
        line, mark = axes.lines
        assert np.array_equal(line.get_xdata(), x) and np.array_equal(line.get_ydata(), y, equal_nan=True)
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (x[1], y[1])
        assert line.get_linestyle() == '--' and mark.get_color() == line.get_color()
    figure.savefig(tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').stat().st_size > 1000
    with pytest.raises(ValueError, match='no curve'):
        draw_precision_recall({})


def test_spread_of_seeds():
    figure = draw_spread(
        {'losses': {'a': [1.0, 2.0, 6.0], 'b': [4.0], 'c': []}, 'none': {}, 'maps': {'d': [3.0]}}, 'mIoU'
    )
    losses, maps = figure.axes  # a panel without a row has none
    assert (losses.get_title(), maps.get_title()) == ('losses', 'maps')
    assert [tick.get_text() for tick in losses.get_yticklabels()] == ['a', 'b', 'c']
    assert losses.get_ylim() == (2.5, -0.5)
    points = {
        line.get_ydata()[0]: list(line.get_xdata())
        for line in losses.lines
        if line.get_marker() == 'o' and len(line.get_xdata())
    }
    assert points == {0: [1.0, 2.0, 6.0], 1: [4.0]}
    bars = {line.get_ydata()[0]: list(line.get_xdata()) for line in losses.lines if line.get_linestyle() == '-'}
    assert list(bars) == [0] and bars[0] == pytest.approx([3 - 7**0.5, 3 + 7**0.5])  # mean 3, deviation sqrt(7)
    means = {line.get_ydata()[0]: line.get_xdata()[0] for line in losses.lines if line.get_marker() == '|'}
    assert means == {0: 3.0, 1: 4.0}
    with pytest.raises(ValueError, match='no row to draw'):
        draw_spread({'none': {}}, 'mIoU')
