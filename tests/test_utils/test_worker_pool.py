"""The functions below are run in spawned workers, which import this module; it stays light."""

import os
import re
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from bana_mm.utils.worker_pool import Done, Failed, WorkerPool


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


def dies_on_three(number, folder, times):
    """Ends its process so often when it gets three; times are counted in a folder."""
    if number == 3 and len(os.listdir(folder)) < int(times):
        open(os.path.join(folder, str(len(os.listdir(folder)))), 'w').close()
        os._exit(1)
    time.sleep(0.02)
    return number


def notes_its_process(number, folder):
    open(os.path.join(folder, f'{number}-{os.getpid()}'), 'w').close()
    time.sleep(0.3)
    return number


def killed_while_sending(number, folder):
    """Leaves a part of a result in the executor's pipe, the first time that it gets three."""
    if number == 3 and not os.listdir(folder):
        open(os.path.join(folder, 'once'), 'w').close()
        frame = sys._getframe()
        while 'result_queue' not in frame.f_locals:
            frame = frame.f_back
        os.write(frame.f_locals['result_queue']._writer.fileno(), struct.pack('!i', 1000) + b'the beginning')
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hangs_on_three(number, folder, times, how):
    """Never comes back so often when it gets three."""
    if number == 3 and len(os.listdir(folder)) < int(times):
        open(os.path.join(folder, str(len(os.listdir(folder)))), 'w').close()
        if how == 'stopped':
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(1000)
    return number


def fails_or_dies(number):
    if number == 1:
        os._exit(1)
    return fails_on_three(number)


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


@pytest.fixture
def light_workers(monkeypatch):
    """Workers that start up without torch, since many are started anew."""
    monkeypatch.setattr('bana_mm.utils.watched_executor._start_worker', int)


def ask(function, count, *args, **kwargs):
    """What is handed back of so many images, by two workers that may die."""
    with WorkerPool(function, 2, keep_going=True, **kwargs) as pool:
        return list(pool.map((f'image{i}', (i, *map(str, args)), f'context{i}') for i in range(count)))


def test_an_image_whose_worker_dies_is_tried_again(light_workers, tmp_path):
    done = ask(dies_on_three, 9, tmp_path, 1)
    assert done == [(f'image{i}', f'context{i}', i) for i in range(9)]
    assert len(os.listdir(tmp_path)) == 1


def test_an_image_whose_workers_always_die_is_handed_back(light_workers, tmp_path):
    done = ask(dies_on_three, 9, tmp_path, 99)
    failed = Failed('image3', 'context3', 'its worker process died 2 times')
    assert done[3] == failed and isinstance(done[3], Failed)
    assert all(isinstance(one, Done) for one in done[:3] + done[4:])
    assert [one.result for one in done[:3] + done[4:]] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize(('times', 'how'), [(1, 'stopped'), (99, 'asleep')])
def test_an_image_at_which_a_worker_hangs(light_workers, tmp_path, capsys, times, how):
    """Tried once more; then handed back, and all others are done."""
    done = ask(hangs_on_three, 9, tmp_path, times, how, time_limit=1.0)
    expected = [(f'image{i}', f'context{i}', i) for i in range(9)]
    if times == 99:
        expected[3] = ('image3', 'context3', 'not done after 1 s 2 times')
        assert isinstance(done[3], Failed)
    assert done == expected and len(os.listdir(tmp_path)) == min(times, 2)
    assert 'image3: not done after 1 s; once more, alone' in capsys.readouterr().err


def test_a_worker_that_hangs_is_an_error_where_nothing_may_be_left_out(light_workers, tmp_path):
    with pytest.raises(RuntimeError, match='image3: not done after 1 s, .*start again to go on, with a longer limit'):
        with WorkerPool(hangs_on_three, workers=2, time_limit=1.0) as pool:
            list(pool.map((f'image{i}', (i, str(tmp_path), '1', 'asleep'), None) for i in range(9)))


def test_images_that_wait_for_their_turn_are_not_late(light_workers):
    """Six images of half a second, one worker and a limit of one and a half."""
    with WorkerPool(time.sleep, workers=1, max_pending=6, time_limit=1.5) as pool:
        assert len(list(pool.map((str(i), (0.5,), None) for i in range(6)))) == 6


def test_an_image_that_takes_long_is_named_meanwhile(light_workers, monkeypatch, capsys):
    monkeypatch.setattr('bana_mm.utils.worker_pool.SAID_AFTER', 0.5)
    with WorkerPool(time.sleep, workers=1, time_limit=100.0) as pool:
        pool.submit('slow', 2.2)
        pool.drain()
    assert re.match(r'slow: still at work after [12] s, of at most 100 s\n', capsys.readouterr().err)


@pytest.mark.parametrize('max_pending', [1, None])
def test_a_worker_killed_from_outside(light_workers, tmp_path, max_pending):
    def kill_the_first():
        while not (found := os.listdir(tmp_path)):
            time.sleep(0.01)
        os.kill(int(found[0].split('-')[1]), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    done = ask(notes_its_process, 5, tmp_path, max_pending=max_pending)
    killer.join()
    assert done == [(f'image{i}', f'context{i}', i) for i in range(5)]
    assert len(os.listdir(tmp_path)) > 5  # one was begun twice


@pytest.mark.parametrize('keep_going', [False, True])
def test_a_worker_killed_while_it_sends_its_result(light_workers, tmp_path, keep_going):
    if keep_going:
        assert [one.result for one in ask(killed_while_sending, 8, tmp_path)] == list(range(8))
        return
    with pytest.raises(RuntimeError, match='a worker process died.*image'):
        with WorkerPool(killed_while_sending, workers=2) as pool:
            list(pool.map((f'image{i}', (i, str(tmp_path)), None) for i in range(8)))


def test_a_function_that_fails_raises_whatever_dies(light_workers):
    with pytest.raises(RuntimeError, match='image3: ValueError: three is bad'):
        ask(fails_or_dies, 6)


def test_workers_that_never_start_up(monkeypatch):
    """No image is to blame."""
    monkeypatch.setattr('bana_mm.utils.watched_executor._start_worker', os.abort)
    with pytest.raises(RuntimeError, match='a worker process died.*image0'):
        ask(slow_square, 6)


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
            print(*pool._executor.pids, flush=True)
            pool.drain()
            pool.submit('long', 600)
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
