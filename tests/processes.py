"""Two processes that talk through gloo, for tests of what is summed over them."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist


def in_two_processes(call: Callable[..., Any], *args: Any, timeout: float = 120) -> list[Any]:
    """What a function returns in each of two processes of one group.

    Args:
        call (Callable): Called with the rank and ``args``; returns plain values or arrays.
        *args: Its further arguments.
        timeout (float): Seconds after which the processes count as hanging. Defaults to 120.

    Returns:
        list: The results of both ranks.
    """
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    processes = [context.Process(target=_run, args=(rank, port, results, call, args)) for rank in range(2)]
    for process in processes:
        process.start()
    try:
        seen = dict(results.get(timeout=timeout) for _ in processes)
        for process in processes:
            process.join(timeout)
    finally:
        for process in processes:
            process.kill()
    for rank in range(2):
        if isinstance(seen[rank], Exception):
            raise seen[rank]
    return [seen[rank] for rank in range(2)]


def _run(rank: int, port: int, results: Any, call: Callable[..., Any], args: tuple) -> None:
    torch.set_num_threads(1)  # the threads of the parent are not there after a fork
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    try:
        dist.init_process_group('gloo', rank=rank, world_size=2)
        outcome = call(rank, *args)
    except Exception as error:
        outcome = RuntimeError(f'rank {rank}: {type(error).__name__}: {error}')
    results.put((rank, outcome))
    if dist.is_initialized() and not isinstance(outcome, Exception):
        dist.barrier()
        dist.destroy_process_group()
