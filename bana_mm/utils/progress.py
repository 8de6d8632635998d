"""tqdm's progress bar, at home in terminals and log files alike."""

import math
import sys
from typing import Any, TextIO

from tqdm import tqdm


class Progress(tqdm):
    """Bar, count, rate and time left; use it in a ``with`` block, and call ``update()`` after each item.

    On a terminal one line is redrawn, as tqdm does. In a file or a pipe, where tqdm would go on redrawing, there are a
    line at the beginning, one at the end, and at most one for every 5 % and every 10 seconds between.

    Args:
        total (int): Number of items, those done before included.
        done (int): Items that were done before; they don't count for the rate. Defaults to 0.
        title (str): What goes in front of the bar. Defaults to ''.
        unit (str): What the items are. Defaults to 'images'.
        stream (TextIO | None): Where to write. Defaults to None, standard output.
        shown (bool): Whether to write anything. Defaults to True.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        title: str = '',
        unit: str = 'images',
        stream: TextIO | None = None,
        shown: bool = True,
    ) -> None:
        stream = stream or sys.stdout
        settings: dict[str, Any] = dict(
            total=total, initial=done, desc=title or None, unit=f' {unit}', disable=not shown
        )
        if stream.isatty():
            settings.update(file=stream, dynamic_ncols=True)
        else:
            # without the upper limit tqdm shows something every 10 s, however little was done
            few = dict(miniters=math.ceil(total / 20), mininterval=10, maxinterval=math.inf)
            settings.update(file=_Lines(stream), ncols=100, ascii=True, **few)
        super().__init__(**settings)


class _Lines:
    """What tqdm would redraw in place, each time on a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self.stream.write(f'{line}\n')

    def flush(self) -> None:
        self.stream.flush()
