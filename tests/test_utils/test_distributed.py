import multiprocessing
import socket
import subprocess
import weakref
from types import SimpleNamespace

import pytest
import torch.distributed
from mmengine.dist import get_rank

from bana_mm.utils.distributed import (
    first_rank_stream,
    launched,
    leave_together,
    on_all_ranks,
    on_first_rank,
    share,
    start_gloo,
)


def fail_on(rank):
    if get_rank() == rank:
        raise ValueError(f'broken at {rank}')
    return get_rank()


def describe(call, *args):
    """What a call returns, or its error."""
    try:
        return call(*args)
    except Exception as error:
        return f'{type(error).__name__}: {error}'


def work(rank, port, launcher, results):
    names = dict(pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'))[
        launcher
    ]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(names, (rank, 2, rank)):
            patch.setenv(name, str(value))
        patch.setenv('MASTER_PORT', str(port))
        patch.setenv('SLURM_NODELIST', 'localhost')
        if launcher == 'pytorch':
            patch.setenv('MASTER_ADDR', '127.0.0.1')
        else:
            patch.delenv('MASTER_ADDR', raising=False)
            patch.setattr(subprocess, 'check_output', lambda command, text: 'localhost\nother\n')
        with launched(launcher):
            with first_rank_stream() as stream:
                quiet = stream is not None
            results.put(
                (
                    rank,
                    [
                        share('abcde'),
                        quiet,
                        on_first_rank(lambda: f'from {get_rank()}'),
                        describe(on_first_rank, fail_on, 0),
                        describe(on_all_ranks, fail_on, 5),
                        describe(on_all_ranks, fail_on, 1),
                    ],
                )
            )
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_two_processes(launcher):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    processes = [context.Process(target=work, args=(rank, port, launcher, results)) for rank in range(2)]
    for process in processes:
        process.start()
    seen = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert seen[0] == ['ace', False, 'from 0', 'ValueError: broken at 0', [0, 1], 'RuntimeError: rank 1: broken at 1']
    assert seen[1] == ['bd', True, 'from 0', 'RuntimeError: rank 0 failed: broken at 0', [], 'ValueError: broken at 1']


def test_single_process():
    with launched():
        assert share([1, 2, 3]) == [1, 2, 3] and on_first_rank(min, [2, 1]) == 1 and on_all_ranks(min, [2, 1]) == [1]
        with first_rank_stream() as stream:
            assert stream is None
        with pytest.raises(ValueError, match='broken at 0'):
            on_all_ranks(fail_on, 0)


def test_bad_launchers(monkeypatch):
    with pytest.raises(ValueError, match="one of none, pytorch, slurm, mpi, got 'ssh'"):
        start_gloo('ssh')
    monkeypatch.delenv('OMPI_COMM_WORLD_RANK', raising=False)
    with pytest.raises(RuntimeError, match='--launcher mpi: .* OMPI_COMM_WORLD_RANK is not set; .* with mpirun'):
        start_gloo('mpi')


def test_the_group_ends_with_the_run(tmp_path):
    """Nothing holds it any more: the model's wrapper is gone."""
    torch.distributed.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    runner = SimpleNamespace(model=torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1)))
    runner.model(torch.ones(1, 2)).sum().backward()
    wrapper = weakref.ref(runner.model)
    leave_together(runner)
    assert wrapper() is None and not torch.distributed.is_initialized()
    leave_together(runner)  # a single process has nobody to wait for
