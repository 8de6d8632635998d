"""Ctrl-C ends a command line tool at once, with a sentence that says how to go on."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE = 1.5  # seconds that a tool has for ending by itself
GOES_ON = 'the same command goes on from here'
GOES_ON_WITHOUT_OVERWRITE = 'the same command (without --overwrite) goes on from here'
BEGINS_ANEW = 'nothing was written that is not whole; the same command begins anew'


@contextmanager
def interruptible(way_on: str = GOES_ON) -> Iterator[None]:
    """End with a sentence when Ctrl-C interrupts the ``with`` block, or the function that this decorates.

    Python notices Ctrl-C between two of its own instructions only, and then waits for threads and processes. What is
    not over after :data:`GRACE` seconds (a network on a large image, a CRF) is cut off: all that these tools write is
    whole or not there, and worker processes end with the main process.

    Args:
        way_on (str): What the user can do. Defaults to starting the same command again.
    """
    said = threading.Event()
    sentence = f'\ninterrupted; {way_on}'
    ended = _cut_off_later(sentence, said)
    try:
        yield
    except KeyboardInterrupt:  # the watch goes on: the end of the process may hang too
        said.set()
        sys.exit(sentence)
    except BaseException:
        ended()
        raise
    ended()


def _cut_off_later(sentence: str, said: threading.Event) -> Callable[[], None]:
    """Watch for Ctrl-C; what comes back ends the watch."""
    if os.name != 'posix' or threading.current_thread() is not threading.main_thread():
        return lambda: None
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while numbers := os.read(reader, 64):
            if signal.SIGINT in numbers:
                threading.Event().wait(GRACE)
                if not said.is_set():
                    os.write(2, f'{sentence}\n'.encode())
                os._exit(1)
        os.close(reader)

    def end() -> None:
        signal.set_wakeup_fd(previous)
        os.close(writer)

    threading.Thread(target=watch, daemon=True).start()
    return end
