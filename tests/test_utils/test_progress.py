"""What is shown where, on a clock that only moves when told to."""

import io

import pytest
import tqdm.std

from bana_mm.utils.progress import Progress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(tqdm.std, 'time', clock)
    return clock


def test_file_gets_few_lines(clock):
    stream = io.StringIO()
    with Progress(10_000, stream=stream) as progress:
        for _ in range(10_000):
            clock.now += 0.5
            progress.update()
    lines = stream.getvalue().splitlines()
    shown = [int(line.split('|')[2].split('/')[0]) for line in lines]
    assert shown == [*range(0, 10_001, 500)] or shown == [*range(0, 10_001, 500), 10_000]
    assert '\r' not in stream.getvalue() and '2.00 images/s' in lines[-1]


def test_slow_items_are_not_shown_more_often_than_every_ten_seconds(clock):
    stream = io.StringIO()
    with Progress(10, title='labels', stream=stream) as progress:
        for _ in range(10):
            clock.now += 4
            progress.update()
    shown = [line.split('|')[2].split('/')[0].strip() for line in stream.getvalue().splitlines()]
    assert shown == ['0', '3', '6', '9', '10']  # after 12, 24, 36 and 40 s


def test_quick_run_in_a_file_gets_two_lines(clock):
    stream = io.StringIO()
    with Progress(50, title='labels', unit='CRFs', stream=stream) as progress:
        for _ in range(50):
            clock.now += 0.1
            progress.update()
    first, last = stream.getvalue().splitlines()
    assert first.startswith('labels:   0%|') and '0/50' in first
    assert last.startswith('labels: 100%|') and '50/50' in last and '10.00 CRFs/s' in last


def test_what_was_done_before_does_not_count_for_the_rate(clock):
    stream = io.StringIO()
    with Progress(240, done=40, stream=stream) as progress:
        clock.now += 10
        progress.update(20)  # 2 a second; 180 left
    last = stream.getvalue().splitlines()[-1]
    assert '60/240' in last and '[00:10<01:30,  2.00 images/s]' in last


def test_terminal_redraws_one_line_but_not_too_often(clock):
    stream = Terminal()
    with Progress(1000, stream=stream) as progress:
        for _ in range(1000):
            clock.now += 0.01
            progress.update()
    text = stream.getvalue()
    assert text.count('\n') == 1 and text.endswith('\n')
    assert text.count('\r') <= 10 / 0.1 + 3
    assert '1000/1000' in text.rsplit('\r', 1)[1]


def test_nothing_to_do(clock):
    stream = io.StringIO()
    with Progress(0, title='labels', stream=stream):
        pass
    assert stream.getvalue().splitlines() == ['labels: 0 images [00:00, ? images/s]'] * 2


def test_standard_output_of_the_moment(clock, capsys):
    with Progress(1, title='labels') as progress:
        progress.update()
    assert '1/1' in capsys.readouterr().out
