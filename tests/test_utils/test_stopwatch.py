import pytest

from bana_mm.utils import stopwatch as module
from bana_mm.utils.stopwatch import measured, stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


def test_seconds_by_name_and_in_all(clock):
    with stopwatch() as watch:
        clock.now += 1
        for seconds in (2, 4):
            with measured('network'):
                clock.now += seconds
        with measured('labels'):
            clock.now += 0.5
        assert watch.total == 0  # known at the end
    clock.now += 10
    assert watch.seconds == dict(network=6, labels=0.5) and watch.total == 7.5


def test_nobody_counts(clock):
    with measured('network'):
        clock.now += 1
    with stopwatch() as watch:
        clock.now += 1
    with measured('network'):
        clock.now += 1
    assert watch.seconds == {} and watch.total == 1


def test_the_innermost_counts(clock):
    with stopwatch() as outer:
        with measured('a'):
            clock.now += 1
        with stopwatch() as inner, measured('a'):
            clock.now += 2
        with measured('a'):
            clock.now += 4
    assert outer.seconds == dict(a=5) and outer.total == 7
    assert inner.seconds == dict(a=2) and inner.total == 2


def test_a_part_inside_another_counts_for_both(clock):
    with stopwatch() as watch, measured('outer'):
        clock.now += 1
        with measured('inner'):
            clock.now += 2
    assert watch.seconds == dict(outer=3, inner=2) and watch.total == 3


def test_errors(clock):
    """The total is known all the same, and who counted before counts again; the part that failed has no time."""
    with stopwatch() as outer:
        with pytest.raises(KeyError), stopwatch() as watch:
            with measured('good'):
                clock.now += 1
            with measured('bad'):
                clock.now += 2
                raise KeyError
        with measured('after'):
            clock.now += 4
    assert watch.seconds == dict(good=1) and watch.total == 3
    assert outer.seconds == dict(after=4) and outer.total == 7
