"""What the tests share that kill a tool at some moment and start it again."""

import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / 'tools'

# Moments of a run, of which the quick tests take a few and the long ones twenty.
MOMENTS = [
    pytest.param(2, id='2 moments'),
    pytest.param(20, id='20 moments', marks=pytest.mark.long),
]


def call_tool(name: str, *arguments: object) -> Callable[[], None]:
    """A tool with a command line, as a function without arguments."""

    def call() -> None:
        sys.argv = [f'{name}.py', *map(str, arguments)]
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')

    return call


class Forked:
    """A function in a process of its own, forked to spare the imports, with its output in a file.

    Args:
        function (Callable): What to run.
        log (Path): Takes its output.
    """

    def __init__(self, function: Callable[[], None], log: Path) -> None:
        sys.stdout.flush(), sys.stderr.flush()
        self.log = log
        self.start = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                signal.signal(signal.SIGINT, signal.default_int_handler)
                with open(log, 'w') as file:
                    os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
                sys.stdout, sys.stderr = open(1, 'w', closefd=False), open(2, 'w', closefd=False)
                code = exit_code(function)
                sys.stdout.flush(), sys.stderr.flush()
            finally:
                os._exit(code)

    def wait(self, at_most: float | None = None) -> int | None:
        """Its exit status, negative for a signal; None if it is still running after some seconds."""
        while True:
            found, status = os.waitpid(self.pid, 0 if at_most is None else os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() - self.start > at_most:
                return None
            time.sleep(0.002)

    def kill_after(self, seconds: float, number: int = signal.SIGKILL) -> int:
        """Its exit status, after a signal unless it has ended before."""
        status = self.wait(seconds)
        if status is None:
            os.kill(self.pid, number)
            status = self.wait()
        return status


def exit_code(function: Callable[[], None]) -> int:
    """Call a function, and what a process with nothing else would end with."""
    try:
        function()
    except SystemExit as error:
        if not isinstance(error.code, (int, type(None))):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def moments(count: int, seed: int) -> list[float]:
    """So many seeded moments of a run that takes 1: one in each of as many equal parts of it."""
    chance = random.Random(seed)
    return [(part + chance.random()) / count for part in range(count)]


def tree(root: Path, but: Sequence[str] = ()) -> dict[str, bytes]:
    """The content of all files below a folder by their names, hidden ones too; but those with some endings."""
    files = (path for path in sorted(root.rglob('*')) if path.is_file() and not path.name.endswith(tuple(but) or '\0'))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
