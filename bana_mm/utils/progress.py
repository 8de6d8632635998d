"""A progress bar that suits terminals and log files alike."""

import sys
import time
from typing import TextIO


class Progress:
    """Bar, count, rate and time left; use it in a ``with`` block.

    On a terminal one line is redrawn; in a file or a pipe there is at most one line for every 5 % and every 10 seconds.

    Args:
        total (int): Number of items, those done before included.
        done (int): Items that were done before; they don't count for the rate. Defaults to 0.
        title (str): What goes in front of the bar. Defaults to ''.
        unit (str): What the items are. Defaults to 'images'.
        stream (TextIO, optional): Where to write. Defaults to None, standard output.
    """

    BAR = 24  # characters

    def __init__(
        self, total: int, done: int = 0, title: str = '', unit: str = 'images', stream: TextIO | None = None
    ) -> None:
        self.total = total
        self.done = self.before = done
        self.title = title
        self.unit = unit
        self.stream = stream or sys.stdout
        self.is_terminal = self.stream.isatty()
        self._start = time.monotonic()
        self._shown_at = float('-inf') if self.is_terminal else self._start
        self._shown = done
        self._width = 0

    def __enter__(self) -> 'Progress':
        self.update(0)
        return self

    def __exit__(self, *exc_info) -> None:
        if self.is_terminal or self.done > self._shown:
            self._show()
        if self.is_terminal:
            self.stream.write('\n')
            self.stream.flush()

    def update(self, count: int = 1) -> None:
        """Count items as done, and show it now and then."""
        self.done += count
        waited = time.monotonic() - self._shown_at
        enough = waited >= 0.2 if self.is_terminal else waited >= 10 and (self.done - self._shown) * 20 >= self.total
        if enough:
            self._show()

    def line(self) -> str:
        """What is shown now."""
        seconds = time.monotonic() - self._start
        fresh = self.done - self.before
        rate = fresh / seconds if seconds > 0 else 0.0
        filled = self.BAR * self.done // self.total if self.total else self.BAR
        parts = [f'[{"#" * filled}{"." * (self.BAR - filled)}]', f'{self.done}/{self.total}']
        if rate:
            parts.append(f'{rate:.3g} {self.unit}/s')
            parts.append(
                f'{_clock((self.total - self.done) / rate)} left'
                if self.done < self.total
                else f'took {_clock(seconds)}'
            )
        return ' '.join([self.title, *parts] if self.title else parts)

    def _show(self) -> None:
        line = self.line()
        # Spaces wipe what a longer line has left behind.
        self.stream.write(f'\r{line.ljust(self._width)}' if self.is_terminal else f'{line}\n')
        self.stream.flush()
        self._width, self._shown, self._shown_at = len(line), self.done, time.monotonic()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
