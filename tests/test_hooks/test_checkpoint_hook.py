"""A training that is killed while it writes a checkpoint keeps the one before."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner, find_latest_checkpoint
from torch.utils.data import DataLoader

from bana_mm.hooks import RandomStateHook, WholeCheckpointHook
from bana_mm.hooks.checkpoint_hook import WholeFileBackend
from bana_mm.hooks.random_state_hook import random_state, set_random_state
from bana_mm.utils.safe_loading import read_checkpoint


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=(self.weight * torch.rand(3)).sum())


class Stop(Hook):
    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


@pytest.fixture
def train(tmp_path):
    def run(iters=4, hooks=(), name=None, load_from=None, resume=False, **checkpoint):
        settings = dict(type='bana_mm.WholeCheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=1)
        runner = Runner(
            Toy(),
            str(tmp_path / 'work'),
            train_dataloader=DataLoader([dict(inputs=torch.zeros(1))] * 2, batch_size=1),
            train_cfg=dict(by_epoch=False, max_iters=iters),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint={**settings, **checkpoint}),
            custom_hooks=[RandomStateHook(), *hooks],
            default_scope='mmengine',
            experiment_name=name or f'toy_{iters}_{len(hooks)}_{len(checkpoint)}_{tmp_path.name}',
            randomness=dict(seed=0),
            load_from=load_from,
            resume=resume,
        )
        runner.train()
        return sorted(path.name for path in (tmp_path / 'work').glob('*.pth'))

    return run


def test_the_newest_are_kept(train, tmp_path):
    assert train() == ['iter_4.pth']
    assert find_latest_checkpoint(str(tmp_path / 'work')).endswith('iter_4.pth')
    assert train(max_keep_ckpts=2, name='two') == ['iter_3.pth', 'iter_4.pth']
    assert not list((tmp_path / 'work').glob('.*'))


@pytest.mark.parametrize('fault', ['disk full', 'killed'])
def test_what_is_there_stays_until_the_next_is_whole(train, tmp_path, monkeypatch, fault):
    write, calls = Path.write_bytes, []

    def fail_at_the_third(self, content):
        calls.append(self)
        if len(calls) < 3:
            return write(self, content)
        write(self, bytes(content)[:100])
        raise OSError('No space left on device') if fault == 'disk full' else KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', fail_at_the_third)
        with pytest.raises((OSError, KeyboardInterrupt)):
            train()
    work = tmp_path / 'work'
    assert [path.name for path in work.glob('*.pth')] == ['iter_2.pth']
    assert find_latest_checkpoint(str(work)) == str(work / 'iter_2.pth')
    assert read_checkpoint(work / 'iter_2.pth')['meta']['iter'] == 2
    assert not list(work.glob('.*.part'))
    (work / '.iter_3.pth.1.part').touch()  # as after a kill that nothing can catch
    assert train(name='again') == ['iter_4.pth']
    assert not list(work.glob('.*.part'))


def test_other_places_are_left_to_their_backend():
    assert WholeCheckpointHook(backend_args=dict(backend='local')).backend_args == dict(backend='local')
    assert WholeCheckpointHook(out_dir='s3://bucket').backend_args is None


def test_the_backend_writes_whole_files(tmp_path):
    WholeFileBackend().put(b'content', tmp_path / 'new' / 'a.bin')
    assert (tmp_path / 'new' / 'a.bin').read_bytes() == b'content'


def test_a_state_comes_back_through_a_checkpoint(tmp_path):
    import random

    import numpy as np

    random.gauss(0, 1), np.random.normal()  # each keeps a second number for the next call
    torch.save(random_state(), tmp_path / 'a.pth')

    def draw():
        return random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.rand(3).tolist()

    first = draw()
    assert draw() != first
    set_random_state(torch.load(tmp_path / 'a.pth', weights_only=True))
    assert draw() == first


def test_weights_to_start_from_bring_no_state(train, tmp_path):
    hook = RandomStateHook()
    hook.after_load_checkpoint(None, dict(random_state=random_state()))

    class Fresh:
        iter, train_loop = 0, None

    hook.before_train(Fresh)
    before = torch.get_rng_state()
    torch.rand(1)
    hook.before_train_epoch(Fresh)
    assert not torch.equal(torch.get_rng_state(), before)


class Payload:
    """Unpickles as a call that leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize('resume', [False, True])
def test_a_runner_refuses_code(train, tmp_path, resume):
    path = tmp_path / 'hostile.pth'
    torch.save(dict(state_dict={}, meta=Payload(tmp_path / 'trace')), path)
    with pytest.raises(ValueError, match=r'hostile\.pth: checkpoint is refused'):
        train(name=f'hostile_{resume}', load_from=str(path), resume=resume)
    assert not (tmp_path / 'trace').exists()
