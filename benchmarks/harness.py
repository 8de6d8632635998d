"""How benchmarks measure: candidates in turns, memory in a process of its own, one row a comparison."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

# A round longer than this is the last one: such a long one is not upset by a moment's load.
PATIENCE = 30.0  # seconds
HEADER = ('item', 'ours', 'against', 'theirs', 'ratio', 'target', 'memory', 'note')


@dataclass
class Options:
    """What all items are told.

    Args:
        device (str): 'cpu' or 'cuda'.
        repeats (int): Times that each candidate runs after the first; the shortest time counts.
        quick (bool): Tiny inputs and no memory, to see that everything runs.
        clock (str): 'wall', or 'cpu' for the seconds of all threads of the process, which load upsets less.
        images (Sequence[str]): Photographs for the CRF; without any, a synthetic one.
        step_batch (int): Images in a step of stage 1.
        voc_root (str | None): Data set for the pipeline; without it, synthetic images.
        json_megabytes (float): Size of the COCO file for the reader of JSON.
    """

    device: str = 'cpu'
    repeats: int = 3
    quick: bool = False
    clock: str = 'wall'
    images: Sequence[str] = ()
    step_batch: int = 4
    voc_root: str | None = None
    json_megabytes: float = 450


@dataclass
class Candidate:
    """One way of doing something: ``make(*args)`` prepares the inputs and returns a function that does it.

    ``make`` is defined at the top level of a module, so that another process can call it too.
    """

    make: Callable[..., Callable[[], Any]]
    args: tuple = ()


@dataclass
class Row:
    """One comparison. Times are seconds; their ratio is how many times as fast ours is."""

    item: str
    ours: float
    against: str
    theirs: float
    target: str = ''
    memory: list[int | None] = field(default_factory=lambda: [None, None])  # bytes, ours and theirs
    note: str = ''

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    def cells(self) -> list[str]:
        """As shown in the table, in the order of ``HEADER``."""
        memory = ' / '.join(f'{bytes_ / 1e6:.0f}' for bytes_ in self.memory if bytes_ is not None)
        return [
            self.item,
            _seconds(self.ours),
            self.against,
            _seconds(self.theirs),
            f'{self.ratio:.3g} x',
            self.target,
            f'{memory} MB' if memory else '',
            self.note,
        ]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(asdict(self), ratio=self.ratio)


def _seconds(value: float) -> str:
    return f'{value:.3g} s' if value >= 0.1 else f'{value * 1e3:.3g} ms'


def compare(
    options: Options, item: str, ours: Candidate, against: str, theirs: Candidate, target: str = '', note: str = ''
) -> Row:
    """Time both in turns and measure the memory that each takes beyond its inputs."""
    times = take_turns([ours.make(*ours.args), theirs.make(*theirs.args)], options)
    memory = [None, None] if options.quick else [extra_memory(each, options.device) for each in (ours, theirs)]
    return Row(item, times[0], against, times[1], target, memory, note)


def take_turns(functions: Sequence[Callable[[], Any]], options: Options) -> list[float]:
    """The shortest time of each function in seconds. They run in turns, so that other load hits all of them alike."""
    best = [float('inf')] * len(functions)
    for _ in range(options.repeats + 1):  # the first round warms up, and its times are seldom the shortest
        begin = time.perf_counter()
        for i, function in enumerate(functions):
            start = now(options)
            function()
            best[i] = min(best[i], now(options) - start)
        if time.perf_counter() - begin > PATIENCE:
            break
    return best


def now(options: Options) -> float:
    """Seconds on the chosen clock, with the device idle."""
    if options.device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.process_time() if options.clock == 'cpu' else time.perf_counter()


def extra_memory(candidate: Candidate, device: str) -> int | None:
    """Bytes that a candidate takes at most beyond its inputs; None where that can't be told.

    On CUDA what torch's allocator has handed out. On a CPU the resident memory of a fresh process, so that what others
    have left behind does not count.
    """
    if device.startswith('cuda'):
        run = candidate.make(*candidate.args)
        run()  # workspaces of the libraries stay
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    return in_child(_resident, candidate, torch.get_num_threads())


def peak_of_process(candidate: Candidate) -> int | None:
    """Bytes that a fresh process takes at most in all, inputs and libraries included."""
    return in_child(_peak, candidate, torch.get_num_threads())


def in_child(function: Callable, *args: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


def _resident(candidate: Candidate, threads: int) -> int | None:
    torch.set_num_threads(threads)
    run = candidate.make(*candidate.args)
    before = memory_of_process('VmRSS')
    if before is None:
        return None
    try:
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak of making the inputs
    except OSError:
        pass
    run()
    return max(memory_of_process('VmHWM') - before, 0)


def _peak(candidate: Candidate, threads: int) -> int | None:
    torch.set_num_threads(threads)
    candidate.make(*candidate.args)()
    return memory_of_process('VmHWM')


def memory_of_process(name: str) -> int | None:
    """Bytes, from Linux; None elsewhere. (ru_maxrss would hold the peak of the process that started this one.)"""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{name}:'))


class SkipItem(Exception):
    """An item can't run here; the message says why."""
