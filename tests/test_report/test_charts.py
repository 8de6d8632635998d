import math
import re

from bana_mm.report.charts import HEIGHT, LEFT, RIGHT, WIDTH, line_chart, thinned, ticks


def test_ticks_are_round_and_hold_all():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(0.13, 0.57) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert ticks(-3, 11) == [-5, 0, 5, 10, 15]
    low, *_, high = ticks(7, 7)
    assert low < 7 < high
    assert ticks(0, 0)[0] < 0 < ticks(0, 0)[-1] and ticks(0.003, 0.003)[-1] <= 0.0051


def test_points_lie_on_their_values():
    chart = line_chart({'a <b>': [(0, 0.0), (50, 10.0), (100, math.nan), (100, 5.0)], 'empty': []}, 'loss')
    line = re.search(r'points="([^"]+)"', chart).group(1)
    points = [tuple(map(float, point.split(','))) for point in line.split()]
    assert len(points) == 3
    assert points[0][0] == LEFT and points[2][0] == WIDTH - RIGHT and points[1][0] == (LEFT + WIDTH - RIGHT) / 2
    assert abs(points[2][1] - (points[0][1] + points[1][1]) / 2) < 0.2  # 5 is between 0 and 10
    assert points[1][1] < points[2][1] < points[0][1] < HEIGHT
    assert 'a &lt;b&gt; <b>5</b>' in chart and '<b>' not in chart.split('a &lt;')[0] and 'empty' not in chart
    assert '<title>a &lt;b&gt;: 10 at 50</title>' in chart
    assert line_chart({'a': []}, 'loss') == '' and line_chart({'a': [(0, math.inf)]}, 'loss') == ''
    assert 'polyline' in line_chart({'a': [(5, 3.0)]}, 'one point')


def test_long_curves_are_thinned():
    points = [(float(i), float(i % 2)) for i in range(1001)]
    few = thinned(points, 101)
    assert len(few) <= 101 and few[-1] == points[-1]
    assert few[0] == (4.5, 0.5) and all(y == 0.5 for _, y in few[:-1])
    assert thinned(points[:50]) == points[:50]
