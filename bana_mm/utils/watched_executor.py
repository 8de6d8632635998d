"""Worker processes of the standard library's executor, for WorkerPool: spawned, watched, and started anew.

The executor itself finds out that a worker has died, but for one case: of a worker that is killed in the middle of
sending a result, it waits for the rest of it. And it never finds out that a worker hangs. For both reasons the workers
are looked after here too: each call notes when it begins, in memory that all processes share.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

CHECK_SECONDS = 1.0  # how often
START_SECONDS = 120.0  # that processes may take for importing what they need


class WatchedExecutor:
    """Spawned processes with one thread each, that end with the main process and that Ctrl-C does not reach.

    Args:
        workers (int): Number of processes, at least 1.
        time_limit (float | None): Seconds that a call may take; then the worker is taken to hang, and all workers are
            ended. Defaults to None, any.
        calls (int): Most calls that are under way at any time. Defaults to 64.
    """

    def __init__(self, workers: int, time_limit: float | None = None, calls: int = 64) -> None:
        self.workers = workers
        self.time_limit = time_limit
        self.calls = calls
        self._late: set[Future] = set()
        self._start()

    def submit(self, function: Callable, *args: Any) -> Future:
        """Queue a call.

        Raises:
            BrokenProcessPool: If a worker has died.
        """
        free, running = self._free, self._running  # of these workers, not of those after a restart
        place = free.pop()
        self._begun[place] = 0.0
        with _interrupt_held_back():
            try:
                future = self._executor.submit(_noted, place, function, *args)
            except BaseException:
                free.append(place)
                raise
        running[future] = place

        def release(future: Future) -> None:
            running.pop(future, None)
            free.append(place)

        future.add_done_callback(release)
        return future

    def outcome(self, future: Future, meanwhile: Callable[[float], None] = lambda seconds: None) -> Any:
        """Wait for the result of a call.

        Args:
            future (Future): From :meth:`submit`.
            meanwhile (Callable): Called about once a second with the seconds that the call has been running.

        Raises:
            BrokenProcessPool: If a worker has died, or hangs; noticed within seconds.
            Exception: What the call has raised.
        """
        since = time.monotonic()
        while wait([future], CHECK_SECONDS).not_done:
            if self._has_dead_worker():
                if wait([future], CHECK_SECONDS).not_done:
                    self._give_up()
            elif late := self._find_late(future, since):
                self._late |= late
                self._give_up()
            elif seconds := self._seconds(future):
                meanwhile(seconds)
        return future.result()

    def was_late(self, future: Future) -> bool:
        """Whether a call was lost because it took longer than it may."""
        return future in self._late

    def restart(self) -> None:
        """New processes in place of those of which one has died; all calls under way are lost."""
        self._executor.shutdown(wait=True)
        self._late.clear()
        self._start()

    def close(self, at_once: bool = False) -> None:
        """Drop what has not begun, wait for what has, and end the workers.

        Args:
            at_once (bool): Wait for nothing. Defaults to False.
        """
        if at_once:
            self._give_up()
        self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that have been started."""
        return list(self._executor._processes or ())

    def _start(self) -> None:
        spawn = multiprocessing.get_context('spawn')
        self._begun = spawn.RawArray('d', self.calls)  # on the machine's clock; 0 for those that have not
        self._free = list(range(self.calls))
        self._running: dict[Future, int] = {}
        given = (self._begun, _start_worker)
        self._executor = ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=_set_up, initargs=given)

    def _seconds(self, future: Future) -> float:
        """How long a call has been running; 0 before it has begun and after it has ended."""
        place = self._running.get(future)
        begun = 0.0 if place is None else self._begun[place]
        return time.monotonic() - begun if begun else 0.0

    def _find_late(self, awaited: Future, since: float) -> set[Future]:
        """The calls that take too long. One that does not even begin counts, once nothing else is running."""
        if self.time_limit is None:
            return set()
        seconds = {future: self._seconds(future) for future in list(self._running)}
        late = {future for future, passed in seconds.items() if passed > self.time_limit}
        if not any(seconds.values()) and time.monotonic() - since > START_SECONDS + self.time_limit:
            late.add(awaited)
        return late

    def _has_dead_worker(self) -> bool:
        sentinels = [process.sentinel for process in list((self._executor._processes or {}).values())]
        return bool(multiprocessing.connection.wait(sentinels, timeout=0))

    def _give_up(self) -> None:
        """Let the executor find out: once nobody can write to it any more, it waits for no rest of a result."""
        for process in list((self._executor._processes or {}).values()):
            process.kill()
        self._executor._result_queue._writer.close()
        if sys.version_info < (3, 11):  # later ones do so themselves: arguments are not sent on that nobody reads
            self._executor._call_queue._reader.close()


_begun: Any = None  # in a worker, what WatchedExecutor._begun is


def _set_up(begun: Any, start: Callable[[], Any]) -> None:
    global _begun
    _begun = begun
    start()


def _noted(place: int, function: Callable, *args: Any) -> Any:
    _begun[place] = time.monotonic()
    return function(*args)


def _start_worker() -> None:
    """One thread a worker, and no worker without its parent."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # The executor's workers never notice that a killed parent is gone: each keeps the queue open for the others.
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Block Ctrl-C for a moment: processes started meanwhile inherit that and keep it, this process gets it after."""
    if not hasattr(signal, 'pthread_sigmask'):  # not POSIX
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
