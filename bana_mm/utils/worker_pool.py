"""A function of one image, run in worker processes while the caller goes on.

Made for DenseCRF, which takes longer than the network and uses one core. The workers are spawned, not forked: a fork
would copy a process with CUDA and thread pools in it. The results come back in the order of submission, so they depend
neither on the number of workers nor on which one is fastest.

By hand around the standard library's executor, since neither that nor joblib or torch's loaders bound what is under way
when images come from a generator that runs a network, name the image that failed, and end with a killed parent.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .watched_executor import WatchedExecutor

TRIES = 1  # that an image gets on its own, after it was under way when a worker died or hung
TIME_LIMIT = 600.0  # seconds, several times what the slowest source takes for the largest photographs
SAID_AFTER = 60.0  # seconds, and after each doubling of it, that an image is still being worked on


class Done(NamedTuple):
    """A finished image: its name, what the caller attached to it, and the function's result."""

    name: str
    context: Any
    result: Any


class Failed(NamedTuple):
    """An image that workers died of or never came back from: its name, what the caller attached, what happened."""

    name: str
    context: Any
    reason: str


@dataclass(eq=False)
class _Pending:
    """An image that is under way, or finished and not yet handed back."""

    name: str
    context: Any
    args: tuple  # for another try
    future: Future
    deaths: int = 0  # on its own
    reason: str = ''  # of the last one
    say_after: float = field(default_factory=lambda: SAID_AFTER)  # seconds

    @property
    def is_lost(self) -> bool:
        return self.future.done() and isinstance(self.future.exception(), BrokenProcessPool)


class WorkerPool:
    """Runs ``function(*args)`` for one image after the other; use it in a ``with`` block.

    A function that fails raises here, with the image's name. Ctrl-C reaches only the main process, whose ``with`` block
    then ends the workers at once; and the workers end when the main process is killed.

    A worker that dies (killed, out of memory, a crash in native code), or takes longer than ``time_limit`` for an
    image, takes all images that are under way with it. That raises, or, with ``keep_going``, they are tried once more
    one by one with new workers, and the one that its worker dies of again is handed back as :class:`Failed`.

    Args:
        function (Callable): Defined at the top level of a module that is quick to import; arguments and result are
            pickled.
        workers (int): Number of processes, one thread each; 0 runs the function at once in this process.
            Defaults to 0.
        max_pending (int, optional): Most images that are waiting, being worked on, or finished and not yet handed back.
            It bounds the memory. Defaults to None, which means ``2 * workers + 2``.
        keep_going (bool): Whether images that workers die of are handed back, and all others done. Defaults to False.
        time_limit (float | None): Seconds that a worker may take for an image; None for any. It has no effect without
            workers. Defaults to 600.
    """

    def __init__(
        self,
        function: Callable,
        workers: int = 0,
        max_pending: int | None = None,
        keep_going: bool = False,
        time_limit: float | None = TIME_LIMIT,
    ) -> None:
        if workers < 0:
            raise ValueError(f'workers must be at least 0, got {workers}')
        self.function = function
        self.workers = workers
        self.max_pending = max_pending or 2 * workers + 2
        self.keep_going = keep_going
        self.time_limit = time_limit
        self.submitted = 0  # images but for those that were to be done here in any case
        self.busy_seconds = 0.0  # spent in the function, summed over workers
        self.wait_seconds = 0.0  # that the caller was held up
        self._pending: deque[_Pending] = deque()
        self._executor = WatchedExecutor(workers, time_limit, self.max_pending + 2) if workers else None

    def __enter__(self) -> 'WorkerPool':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(at_once=kind is not None and not issubclass(kind, Exception))

    def close(self, at_once: bool = False) -> None:
        """Drop what has not begun, wait for what has, and end the workers.

        Args:
            at_once (bool): Wait for nothing. Defaults to False.
        """
        if self._executor is not None:
            self._executor.close(at_once)
        self._pending.clear()

    def submit(self, name: str, *args: Any, context: Any = None, here: bool = False) -> list[Done | Failed]:
        """Queue one image; wait for the oldest one first where ``max_pending`` are under way.

        Args:
            name (str): Name of the image for error messages.
            *args: Arguments of the function.
            context (Any): Handed back with the result; never pickled. Defaults to None.
            here (bool): Whether to run the function at once in this process, whatever the number of workers; the result
                is handed back in its turn all the same. Defaults to False.

        Returns:
            list[Done | Failed]: Images that have finished meanwhile, in the order of submission; often none.

        Raises:
            RuntimeError: If the function fails, or a worker dies and that is not to be outlived.
        """
        done: list[Done | Failed] = []
        self.submitted += not here
        while len(self._pending) >= self.max_pending:
            done.append(self._take_oldest())
        if self._executor is None or here:
            future: Future = Future()
            try:
                future.set_result(_timed(self.function, args))
            except Exception as error:
                future.set_exception(error)
        else:
            try:
                future = self._start(args)
            except BrokenProcessPool as error:
                self._outlive(error)
                future = self._start(args)
        for one in self._pending:
            if one.future.done() and not one.is_lost:
                one.args = ()  # they would take memory beside the result
        self._pending.append(_Pending(name, context, args if self.keep_going and not here else (), future))
        while self._pending and self._pending[0].future.done():
            done.append(self._take_oldest())
        return done

    def drain(self) -> list[Done | Failed]:
        """Wait for all images that are under way.

        Returns:
            list[Done | Failed]: The rest, in the order of submission.
        """
        return [self._take_oldest() for _ in range(len(self._pending))]

    def map(self, items: Iterable[tuple[str, tuple, Any]]) -> Iterator[Done | Failed]:
        """Run the function over ``(name, args, context)`` items, taking the next item only when there is room for it.

        Args:
            items (Iterable): Made while the workers work, so a generator may run the network.

        Yields:
            Done | Failed: One an item, in order.
        """
        for name, args, context in items:
            yield from self.submit(name, *args, context=context)
        while self._pending:
            yield self._take_oldest()

    def _take_oldest(self) -> Done | Failed:
        oldest = self._pending[0]
        start = time.perf_counter()
        if self._executor is not None and not oldest.deaths:
            try:
                self._executor.outcome(oldest.future, lambda seconds: self._say(oldest, seconds))
            except BrokenProcessPool as error:
                self._outlive(error)
            except Exception:
                pass  # raised below
        waited = time.perf_counter() - start
        if oldest.is_lost:
            self._pending.popleft()
            self.wait_seconds += waited
            return Failed(oldest.name, oldest.context, f'{oldest.reason} {1 + oldest.deaths} times')
        try:
            seconds, result = oldest.future.result()
        except Exception as error:
            raise RuntimeError(f'{oldest.name}: {type(error).__name__}: {error}') from error
        self._pending.popleft()
        self.wait_seconds += waited if self._executor else seconds
        self.busy_seconds += seconds
        return Done(oldest.name, oldest.context, result)

    def _start(self, args: tuple) -> Future:
        return self._executor.submit(_timed, self.function, args)

    def _outlive(self, error: BrokenProcessPool) -> None:
        """Start new workers, and try the images that were lost one by one, so that none is blamed for another.

        Raises:
            RuntimeError: If that is not to be done, or new workers die too, with nothing to do.
        """
        late = [one.name for one in self._pending if self._executor.was_late(one.future)]
        if not self.keep_going:
            raise (self._worker_hung(late) if late else self._worker_died()) from error
        if late:
            _print(f'{", ".join(late)}: not done after {self.time_limit:g} s; once more, alone')
        self._renew()
        for one in self._pending:
            while one.is_lost and one.deaths < TRIES:
                try:
                    one.future = self._start(one.args)
                    self._executor.outcome(one.future)
                except BrokenProcessPool:
                    one.deaths += 1
                    hung = self._executor.was_late(one.future)
                    one.reason = f'not done after {self.time_limit:g} s' if hung else 'its worker process died'
                    self._renew()
                except Exception:
                    pass  # raised when it is this image's turn

    def _say(self, one: _Pending, seconds: float) -> None:
        """Tell of an image that takes long."""
        if seconds >= one.say_after:
            one.say_after *= 2
            limit = '' if self.time_limit is None else f', of at most {self.time_limit:g} s'
            _print(f'{one.name}: still at work after {seconds:.0f} s{limit}')

    def _renew(self) -> None:
        """New workers, of which one has started up."""
        self._executor.restart()
        try:
            self._executor.outcome(self._executor.submit(_nothing))
        except BrokenProcessPool as error:
            raise self._worker_died() from error

    def _worker_hung(self, late: list[str]) -> RuntimeError:
        return RuntimeError(
            f'{", ".join(late)}: not done after {self.time_limit:g} s, so that the worker process was ended; start '
            'again to go on, with a longer limit if so much work is to be expected'
        )

    def _worker_died(self) -> RuntimeError:
        names = ', '.join(one.name for one in list(self._pending)[:3])
        return RuntimeError(
            f'a worker process died (killed, or out of memory) with {names} under way; '
            'start again to go on, with fewer workers if memory is short'
        )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _nothing() -> None:
    """To see whether a worker starts up."""


def _timed(function: Callable, args: tuple) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result
