"""Where the time goes: named parts of the work add their seconds to whoever is counting."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Stopwatch:
    """Seconds by name, and in all.

    Attributes:
        seconds (dict[str, float]): By the names given to :func:`measured`.
        total (float): From beginning to end.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.total = 0.0


_RUNNING: ContextVar[Stopwatch | None] = ContextVar('stopwatch', default=None)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Count seconds inside the ``with`` block."""
    watch = Stopwatch()
    token = _RUNNING.set(watch)
    start = time.perf_counter()
    try:
        yield watch
    finally:
        watch.total = time.perf_counter() - start
        _RUNNING.reset(token)


@contextmanager
def measured(name: str) -> Iterator[None]:
    """Add the time of the ``with`` block to a name, if anybody counts."""
    watch = _RUNNING.get()
    start = time.perf_counter()
    yield
    if watch is not None:
        watch.seconds[name] += time.perf_counter() - start
