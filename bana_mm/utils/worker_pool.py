"""A function of one image, run in worker processes while the caller goes on.

Made for DenseCRF, which takes longer than the network and uses one core. The workers are spawned, not forked: a fork
would copy a process with CUDA and thread pools in it. The results come back in the order of submission, so they depend
neither on the number of workers nor on which one is fastest.

By hand around the standard library's executor, since neither that nor joblib or torch's loaders bound what is under way
when images come from a generator that runs a network, name the image that failed, and end with a killed parent.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NamedTuple


class Done(NamedTuple):
    """A finished image: its name, what the caller attached to it, and the function's result."""

    name: str
    context: Any
    result: Any


class WorkerPool:
    """Runs ``function(*args)`` for one image after the other; use it in a ``with`` block.

    A worker that fails raises here, with the image's name; a worker that is killed raises too. Ctrl-C reaches only the
    main process, whose ``with`` block then ends the workers; and the workers end when the main process is killed.

    Args:
        function (Callable): Defined at the top level of a module that is quick to import; arguments and result are
            pickled.
        workers (int): Number of processes, one thread each; 0 runs the function at once in this process.
            Defaults to 0.
        max_pending (int, optional): Most images that are waiting, being worked on, or finished and not yet handed back.
            It bounds the memory. Defaults to None, which means ``2 * workers + 2``.
    """

    def __init__(self, function: Callable, workers: int = 0, max_pending: int | None = None) -> None:
        if workers < 0:
            raise ValueError(f'workers must be at least 0, got {workers}')
        self.function = function
        self.workers = workers
        self.max_pending = max_pending or 2 * workers + 2
        self.submitted = 0  # images but for those that were to be done here in any case
        self.busy_seconds = 0.0  # spent in the function, summed over workers
        self.wait_seconds = 0.0  # that the caller was held up
        self._pending: deque[tuple[str, Any, Future]] = deque()
        self._executor = (
            ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context('spawn'), initializer=_start_worker)
            if workers
            else None
        )

    def __enter__(self) -> 'WorkerPool':
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Drop what has not begun, wait for what has, and end the workers."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def submit(self, name: str, *args: Any, context: Any = None, here: bool = False) -> list[Done]:
        """Queue one image; wait for the oldest one first where ``max_pending`` are under way.

        Args:
            name (str): Name of the image for error messages.
            *args: Arguments of the function.
            context (Any): Handed back with the result; never pickled. Defaults to None.
            here (bool): Whether to run the function at once in this process, whatever the number of workers; the result
                is handed back in its turn all the same. Defaults to False.

        Returns:
            list[Done]: Images that have finished meanwhile, in the order of submission; often none.

        Raises:
            RuntimeError: If the function fails or a worker dies.
        """
        done = []
        self.submitted += not here
        while len(self._pending) >= self.max_pending:
            done.append(self._take_oldest())
        if self._executor is None or here:
            future = Future()
            try:
                future.set_result(_timed(self.function, args))
            except Exception as error:
                future.set_exception(error)
        else:
            try:
                with _interrupt_held_back():
                    future = self._executor.submit(_timed, self.function, args)
            except BrokenProcessPool as error:
                raise self._worker_died() from error
        self._pending.append((name, context, future))
        while self._pending and self._pending[0][2].done():
            done.append(self._take_oldest())
        return done

    def drain(self) -> list[Done]:
        """Wait for all images that are under way.

        Returns:
            list[Done]: The rest, in the order of submission.
        """
        return [self._take_oldest() for _ in range(len(self._pending))]

    def map(self, items: Iterable[tuple[str, tuple, Any]]) -> Iterator[Done]:
        """Run the function over ``(name, args, context)`` items, taking the next item only when there is room for it.

        Args:
            items (Iterable): Made while the workers work, so a generator may run the network.

        Yields:
            Done: One an item, in order.
        """
        for name, args, context in items:
            yield from self.submit(name, *args, context=context)
        while self._pending:
            yield self._take_oldest()

    def _take_oldest(self) -> Done:
        name, context, future = self._pending[0]
        start = time.perf_counter()
        try:
            seconds, result = future.result()
        except BrokenProcessPool as error:
            raise self._worker_died() from error
        except Exception as error:
            raise RuntimeError(f'{name}: {type(error).__name__}: {error}') from error
        self._pending.popleft()
        self.wait_seconds += time.perf_counter() - start if self._executor else seconds
        self.busy_seconds += seconds
        return Done(name, context, result)

    def _worker_died(self) -> RuntimeError:
        names = ', '.join(name for name, _, _ in list(self._pending)[:3])
        return RuntimeError(
            f'a worker process died (killed, or out of memory) with {names} under way; '
            'start again to go on, with fewer workers if memory is short'
        )


def _timed(function: Callable, args: tuple) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


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
