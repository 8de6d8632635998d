import io

import pytest

from bana_mm.utils import progress as module
from bana_mm.utils.progress import Progress


class Clock:
    """A clock that only moves when told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


def test_line_by_hand(clock):
    progress = Progress(240, done=40, title='labels', stream=io.StringIO())
    clock.now += 10
    progress.update(20)  # 2 a second; 180 left; what was done before does not count for the rate
    assert progress.line() == 'labels [######..................] 60/240 2 images/s 1:30 left'
    progress.update(180)
    assert progress.line() == f'labels [{"#" * 24}] 240/240 20 images/s took 0:10'


def test_hours(clock):
    progress = Progress(7262, stream=io.StringIO())
    clock.now += 1
    progress.update(1)
    assert progress.line().endswith('1 images/s 2:01:01 left')


def test_file_gets_few_lines(clock):
    stream = io.StringIO()
    with Progress(10_000, stream=stream) as progress:
        for _ in range(10_000):
            clock.now += 0.5
            progress.update()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 20  # every 5 %
    assert '10000/10000' in lines[-1] and '\r' not in stream.getvalue()


def test_quick_run_in_a_file_gets_one_line(clock):
    stream = io.StringIO()
    with Progress(50, stream=stream) as progress:
        for _ in range(50):
            clock.now += 0.1
            progress.update()
    assert stream.getvalue().splitlines() == [f'[{"#" * 24}] 50/50 10 images/s took 0:05']


def test_terminal_redraws_one_line_but_not_too_often(clock):
    stream = Terminal()
    with Progress(1000, stream=stream) as progress:
        for _ in range(1000):
            clock.now += 0.01
            progress.update()
    text = stream.getvalue()
    assert text.count('\n') == 1 and text.endswith('\n')
    assert text.count('\r') <= 10 / 0.2 + 3
    assert '1000/1000' in text.rsplit('\r', 1)[1]


def test_nothing_to_do(clock):
    stream = Terminal()
    with Progress(0, stream=stream):
        pass
    assert f'[{"#" * 24}] 0/0' in stream.getvalue()
