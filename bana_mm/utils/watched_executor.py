"""Worker processes of the standard library's executor, for WorkerPool: spawned, watched, and started anew.

The executor itself finds out that a worker has died, but for one case: of a worker that is killed in the middle of
sending a result, it waits for the rest of it, for which reason the workers are looked after here too.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

CHECK_SECONDS = 1.0  # how often


class WatchedExecutor:
    """Spawned processes with one thread each, that end with the main process and that Ctrl-C does not reach.

    Args:
        workers (int): Number of processes, at least 1.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor = self._new()

    def submit(self, function: Callable, *args: Any) -> Future:
        """Queue a call.

        Raises:
            BrokenProcessPool: If a worker has died.
        """
        with _interrupt_held_back():
            return self._executor.submit(function, *args)

    def outcome(self, future: Future) -> Any:
        """Wait for the result of a call.

        Raises:
            BrokenProcessPool: If a worker has died; noticed within seconds.
            Exception: What the call has raised.
        """
        while wait([future], CHECK_SECONDS).not_done:
            if self._has_dead_worker() and wait([future], CHECK_SECONDS).not_done:
                self._give_up()
        return future.result()

    def restart(self) -> None:
        """New processes in place of those of which one has died; all calls under way are lost."""
        self._executor.shutdown(wait=True)
        self._executor = self._new()

    def close(self) -> None:
        """Drop what has not begun, wait for what has, and end the workers."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that have been started."""
        return list(self._executor._processes or ())

    def _new(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context('spawn')
        return ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=_start_worker)

    def _has_dead_worker(self) -> bool:
        sentinels = [process.sentinel for process in list((self._executor._processes or {}).values())]
        return bool(multiprocessing.connection.wait(sentinels, timeout=0))

    def _give_up(self) -> None:
        """Let the executor find out: once nobody can write to it any more, it waits for no rest of a result."""
        for process in list((self._executor._processes or {}).values()):
            process.kill()
        self._executor._result_queue._writer.close()


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
