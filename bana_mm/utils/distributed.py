"""Several processes of a job launcher that share out work which needs no gradients, such as making labels.

They talk through gloo, on GPUs too: what they exchange are counts and short lists.
"""

import gc
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TextIO, TypeVar

import torch
import torch.distributed
from mmengine.dist import broadcast_object_list, gather_object, get_rank, get_world_size, init_dist

T = TypeVar('T')

# The first rank to be done waits for the last one, whose share may hold far more work.
PATIENCE = timedelta(days=7)
_VARIABLES = dict(
    pytorch=dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'),
    slurm=dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(RANK='OMPI_COMM_WORLD_RANK', WORLD_SIZE='OMPI_COMM_WORLD_SIZE', LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK'),
)
_STARTERS = dict(pytorch='torchrun', slurm='srun', mpi='mpirun')


def start_gloo(launcher: str, timeout: timedelta | None = None) -> None:
    """Let the processes of a launcher find each other. Each takes the GPU of its local rank where there are any.

    mmengine's ``init_dist`` asks for a GPU for each rank; without one the same environment variables are read here.

    Args:
        launcher (str): 'pytorch', 'slurm' or 'mpi'.
        timeout (timedelta | None): How long a rank waits for the others. Defaults to None, torch's half an hour.

    Raises:
        ValueError: For another launcher.
        RuntimeError: If its environment variables are missing; the message names one and what would set it.
    """
    if launcher not in _VARIABLES:
        raise ValueError(f'launcher must be one of none, {", ".join(_VARIABLES)}, got {launcher!r}')
    for variable in _VARIABLES[launcher].values():
        if variable not in os.environ:
            raise RuntimeError(
                f'--launcher {launcher}: the environment variable {variable} is not set; start the '
                f'command with {_STARTERS[launcher]}'
            )
    if torch.cuda.is_available():
        init_dist(launcher, backend='gloo', timeout=None if timeout is None else timeout.total_seconds())
        return
    for name, variable in _VARIABLES[launcher].items():
        os.environ[name] = os.environ[variable]
    os.environ.setdefault('MASTER_PORT', '29500')
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        hosts = subprocess.check_output(['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']], text=True)
        os.environ['MASTER_ADDR'] = hosts.split()[0]
    torch.distributed.init_process_group('gloo', timeout=timeout)


@contextmanager
def launched(launcher: str = 'none') -> Iterator[None]:
    """Be one of a launcher's processes inside the ``with`` block; 'none' is a single process.

    Args:
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.
    """
    if launcher == 'none':
        yield
        return
    start_gloo(launcher, PATIENCE)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def leave_together(runner: Any = None) -> None:
    """At the end of a run wait for the other processes of the launcher: gloo aborts those that are left behind.

    Args:
        runner (Runner | None): Loses its model, whose wrapper holds the group: its threads are to end here, not with
            the interpreter, which was once seen to end in SIGABRT. Defaults to None.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        if runner is not None:
            runner.model = None
            gc.collect()  # the wrapper refers to itself
        torch.distributed.destroy_process_group()


def share(items: Sequence[T]) -> Sequence[T]:
    """This rank's part of a list that is the same on all ranks: every world-size-th item, from its rank on."""
    return items[get_rank() :: get_world_size()]


def on_first_rank(function: Callable[..., T], *args: Any) -> T:
    """Call a function on rank 0, while the others wait, and hand its result to all ranks.

    Args:
        function (Callable): What to call.
        *args: Its arguments.

    Raises:
        Exception: On rank 0 what the function raises.
        RuntimeError: On the others, if it raises.
    """
    outcome: list[Any] = [None, None]
    error = None
    if get_rank() == 0:
        try:
            outcome = [function(*args), None]
        except Exception as caught:
            error, outcome = caught, [None, str(caught)]
    broadcast_object_list(outcome)
    if error is not None:
        raise error
    if outcome[1] is not None:
        raise RuntimeError(f'rank 0 failed: {outcome[1]}')
    return outcome[0]


def on_all_ranks(function: Callable[..., T], *args: Any) -> list[T]:
    """Call a function on every rank, and bring the results together once all are through.

    A rank that fails does not keep the others from finishing their part.

    Args:
        function (Callable): What to call.
        *args: Its arguments.

    Returns:
        list: On rank 0 the results in the order of the ranks, on the others an empty list.

    Raises:
        Exception: On a rank what its call raises.
        RuntimeError: On rank 0 if other ranks fail, with what each of them says.
    """
    result, error = None, None
    try:
        result = function(*args)
    except Exception as caught:
        error = caught
    outcomes = gather_object((result, None if error is None else str(error))) or []
    if error is not None:
        raise error
    failures = [f'rank {rank}: {text}' for rank, (_, text) in enumerate(outcomes) if text is not None]
    if failures:
        raise RuntimeError('; '.join(failures))
    return [outcome for outcome, _ in outcomes]


@contextmanager
def first_rank_stream() -> Iterator[TextIO | None]:
    """Where a rank's progress goes: None, that is standard output, on rank 0, and nowhere on the others."""
    if get_rank() == 0:
        yield None
        return
    with open(os.devnull, 'w') as nowhere:
        yield nowhere
