"""The functions below are run in spawned workers, which import this module; it stays light."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from bana_mm.utils.worker_pool import WorkerPool


def slow_square(number):
    time.sleep(0.05 if number % 3 == 0 else 0)  # so that later ones overtake
    return number * number


def fails_on_three(number):
    if number == 3:
        raise ValueError('three is bad')
    return number


def killed_on_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def process_of(number):
    return os.getpid()


def thread_counts():
    import cv2
    import torch

    return os.getpid(), torch.get_num_threads(), cv2.getNumThreads()


def numbers(count):
    return ((f'image{i}', (i,), f'context{i}') for i in range(count))


@pytest.mark.parametrize('workers', [0, 3])
def test_results_in_order_with_their_context(workers):
    with WorkerPool(slow_square, workers) as pool:
        done = list(pool.map(numbers(10)))
    assert done == [(f'image{i}', f'context{i}', i * i) for i in range(10)]
    assert pool.busy_seconds > 0.15  # four of them sleep


def test_takes_no_more_than_it_may_hold():
    taken, most = 0, 0

    def items():
        nonlocal taken
        for item in numbers(12):
            taken += 1
            yield item

    with WorkerPool(slow_square, workers=1, max_pending=3) as pool:
        for given, _ in enumerate(pool.map(items())):
            most = max(most, taken - given)
    assert taken == 12
    assert most <= 4  # three held, and the one that waits to get in


def test_submit_and_drain():
    with WorkerPool(slow_square, workers=1) as pool:
        done = [entry for i in range(5) for entry in pool.submit(str(i), i)]
        done += pool.drain()
        assert pool.drain() == []
    assert [entry.result for entry in done] == [0, 1, 4, 9, 16]


@pytest.mark.parametrize('workers', [0, 1])
def test_some_images_are_done_here(workers):
    """In their turn all the same; only the others count as given to workers."""
    with WorkerPool(process_of, workers) as pool:
        done = [entry for i in range(4) for entry in pool.submit(str(i), i, here=i % 2 == 1)]
        done += pool.drain()
    assert [entry.name for entry in done] == ['0', '1', '2', '3'] and pool.submitted == 2
    here = [entry.result == os.getpid() for entry in done]
    assert here == [True] * 4 if not workers else here == [False, True, False, True]
    with pytest.raises(RuntimeError, match='image3: ValueError: three is bad'):
        with WorkerPool(fails_on_three, workers) as pool:
            pool.submit('image3', 3, here=True)


@pytest.mark.parametrize('workers', [0, 2])
def test_error_names_the_image(workers):
    with pytest.raises(RuntimeError, match='image3: ValueError: three is bad'):
        with WorkerPool(fails_on_three, workers) as pool:
            list(pool.map(numbers(6)))


def test_killed_worker_is_an_error_not_a_hang():
    with pytest.raises(RuntimeError, match='a worker process died.*image'):
        with WorkerPool(killed_on_three, workers=2) as pool:
            list(pool.map(numbers(20)))


def test_workers_have_one_thread_each():
    with WorkerPool(thread_counts, workers=1) as pool:
        pool.submit('a')
        ((_, _, (pid, torch_threads, cv2_threads)),) = pool.drain()
    assert pid != os.getpid()
    assert (torch_threads, cv2_threads) == (1, 1)


def test_negative_workers():
    with pytest.raises(ValueError, match='workers must be at least 0, got -1'):
        WorkerPool(slow_square, workers=-1)


SCRIPT = textwrap.dedent("""
    import signal
    import time
    from bana_mm.utils.worker_pool import WorkerPool

    if __name__ == '__main__':
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        with WorkerPool(time.sleep, workers=2) as pool:
            for i in range(4):
                pool.submit(str(i), .2)
            print(*pool._executor._processes, flush=True)
            pool.drain()
            pool.submit('long', 1)
            print('ready', flush=True)
            time.sleep(60)
""")


def start_script(tmp_path):
    """A process with two workers at work, in a process group as a terminal's job has one; and the workers' ids."""
    (tmp_path / 'script.py').write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / 'script.py'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert process.stdout.readline() == 'ready\n'
    return process, workers


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def wait_until_gone(pids, seconds=60):
    deadline = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_running, pids))


needs_proc = pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='looks processes up in /proc')


@needs_proc
def test_interrupt_ends_the_workers_quietly(tmp_path):
    process, workers = start_script(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: all processes of the group
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert errors.count('Traceback') == 1 and errors.rstrip().endswith('KeyboardInterrupt')  # the main process's alone
    assert len(workers) == 2 and wait_until_gone(workers)


@needs_proc
def test_workers_end_with_a_killed_parent(tmp_path):
    process, workers = start_script(tmp_path)
    try:
        assert len(workers) == 2 and all(map(is_running, workers))
        process.kill()
        assert wait_until_gone(workers)
    finally:
        for pid in filter(is_running, workers):
            os.kill(pid, signal.SIGKILL)
        process.communicate()  # not before: surviving workers would hold its pipes open
