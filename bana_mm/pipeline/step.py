"""One command of a sequence, which runs unless its results are there."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from bana_mm.utils.interrupt import GOES_ON
from bana_mm.utils.record import as_stored, differences, read_json, write_json
from bana_mm.utils.resources import find_tool, tool_environment, tool_line
from bana_mm.utils.shortened import shortened

# How long a tool that is told to end may take to end its own worker processes.
PATIENCE = 5.0  # seconds
PR_SET_PDEATHSIG = 1  # of Linux's prctl


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
        kept_in (Path | None): JSON file that keeps the settings of the steps whose results are beside it. Defaults to
            None, they are not kept.
        settings (Mapping): JSON-like: what the results depend on. Results that are there although they were made with
            other settings stay, with a warning. Defaults to nothing.
        is_begun (Callable): Whether there is a part of its results from which it will go on; it is warned of too.
            Defaults to never.

    Attributes:
        warnings (list[str]): What :meth:`run` has warned of.
    """

    title: str
    command: Sequence[str]
    is_done: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    kept_in: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_begun: Callable[[], bool] = lambda: False
    warnings: list[str] = field(default_factory=list, init=False)
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
        is_done = self.is_done()
        if is_done or self.is_begun():
            self._compare_settings(is_done)
        if is_done:
            print(f'[{self.title}] done already', flush=True)
            return
        tool, *arguments = map(str, self.command)
        try:
            call = [str(find_tool(tool)), *arguments]
        except FileNotFoundError as error:
            raise StepError(str(error)) from error
        print(f'[{self.title}] {self.line}', flush=True)
        self._keep_settings()
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

    def _compare_settings(self, is_done: bool) -> None:
        """Warn where the results, or what is there of them, were made with other settings."""
        kept = self._kept().get(self.title)
        if kept is None:
            return
        changes = [
            f'{name} was {shortened(old, 60)}, is {shortened(new, 60)}'
            for name, old, new in differences(kept, as_stored(self.settings))
        ]
        if changes:
            more = f' and {len(changes) - 3} more' if len(changes) > 3 else ''
            what = 'these results were made' if is_done else 'this was begun'
            self.warnings.append(
                f'{self.title}: {what} with other settings than are asked for now ({"; ".join(changes[:3])}{more}), '
                f'see {self.kept_in}; move them away to make them anew'
            )
            print(f'WARNING: {self.warnings[-1]}', flush=True)

    def _keep_settings(self) -> None:
        if self.kept_in is not None:
            self.kept_in.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.kept_in, {**self._kept(), self.title: as_stored(self.settings)})

    def _kept(self) -> dict[str, Any]:
        """Settings by the titles of the steps."""
        return {} if self.kept_in is None or not self.kept_in.is_file() else read_json(self.kept_in)

    def _call(self, arguments: list[str], output: TextIO | None, env: Mapping[str, str] | None) -> int:
        with subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env={**os.environ, **tool_environment(), **(env or {})},
            preexec_fn=_end_with_parent if _LIBC is not None else None,
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


# Found before any fork: what runs between a fork and the tool must take no lock.
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


def _end_with_parent() -> None:
    """In the tool's process: be told to end when the one that waits for it is killed, so that no two train at once."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


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
        sys.exit(f'\ninterrupted; {GOES_ON}')
    finally:
        signal.signal(signal.SIGTERM, previous)


def _raise_exit(number: int, frame: object) -> None:
    sys.exit(128 + number)  # as a shell reports it


def _tail(log: Path, lines: int = 15) -> str:
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:])
