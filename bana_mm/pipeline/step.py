"""One command of a sequence, which runs unless its results are there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from bana_mm.utils.resources import find_tool, tool_environment, tool_line

# How long a tool that is told to end may take to end its own worker processes.
PATIENCE = 5.0  # seconds


class StepError(RuntimeError):
    """A step that failed; the message says which, and where to read why."""


@dataclass
class Step:
    """One command and how to tell that it need not run.

    Args:
        title (str): What it does, for the reader.
        command (Sequence[str]): Name of a tool, such as ``train.py``, and its arguments.
        is_done (Callable): Whether its results are there.
        prepare (Callable): Called first; raises :class:`StepError` where the step can't run as things are. Defaults
            to nothing.
    """

    title: str
    command: Sequence[str]
    is_done: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    _process: subprocess.Popen | None = field(default=None, init=False, repr=False)

    @property
    def line(self) -> str:
        """The command as one would type it."""
        tool, *arguments = map(str, self.command)
        return tool_line(tool, *arguments)

    def run(self, log: str | os.PathLike | None = None, env: Mapping[str, str] | None = None) -> None:
        """Run the command unless its results are there.

        When this process is interrupted meanwhile, the tool ends with it.

        Args:
            log (str | os.PathLike | None): File for its output. Defaults to None, the terminal.
            env (Mapping[str, str] | None): Changes of the environment. Defaults to None.

        Raises:
            StepError: If the command fails or can't run.
        """
        self.prepare()
        if self.is_done():
            print(f'[{self.title}] done already', flush=True)
            return
        tool, *arguments = map(str, self.command)
        try:
            call = [str(find_tool(tool)), *arguments]
        except FileNotFoundError as error:
            raise StepError(str(error)) from error
        print(f'[{self.title}] {self.line}', flush=True)
        start = time.monotonic()
        if log is None:
            code = self._call(call, None, env)
        else:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            with open(log, 'w') as file:
                code = self._call(call, file, env)
        if code:
            hint = '' if log is None else f'; its output is in {log}, which ends with:\n{_tail(Path(log))}'
            raise StepError(f'{self.title} failed with exit status {code} ({self.line}){hint}')
        if not self.is_done():
            raise StepError(f'{self.title} ended without its results ({self.line})')
        print(f'[{self.title}] {time.monotonic() - start:.0f} s', flush=True)

    def stop(self) -> None:
        """End the tool if it is running; :meth:`run`, in another thread, then raises."""
        process = self._process  # another thread may be done with it meanwhile
        if process is not None:
            process.terminate()

    def _call(self, arguments: list[str], output: TextIO | None, env: Mapping[str, str] | None) -> int:
        with subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env={**os.environ, **tool_environment(), **(env or {})},
        ) as self._process:
            try:
                return self._process.wait()
            except BaseException as interruption:
                if not isinstance(interruption, KeyboardInterrupt):  # Ctrl-C has reached the tool too
                    self._process.terminate()
                try:
                    self._process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                raise
            finally:
                self._process = None


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End a command line tool with a sentence instead of a traceback when a step fails or it is told to end.

    SIGTERM, which by default would leave the running tool behind, ends that one first, as Ctrl-C does.
    """
    previous = signal.signal(signal.SIGTERM, _raise_exit)
    try:
        yield
    except StepError as error:
        sys.exit(f'{error}\nThe same command goes on from here.')
    except KeyboardInterrupt:
        sys.exit('\ninterrupted; the same command goes on from here')
    finally:
        signal.signal(signal.SIGTERM, previous)


def _raise_exit(number: int, frame: object) -> None:
    sys.exit(128 + number)  # as a shell reports it


def _tail(log: Path, lines: int = 15) -> str:
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:])
