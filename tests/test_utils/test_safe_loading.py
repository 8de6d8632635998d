"""No way of reading a checkpoint runs code from it, and a broken one is named."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

import bana_mm.registry  # noqa: F401  guards mmengine's loader
from bana_mm.labels.classifier import load_strictly
from bana_mm.models.backbones import VGG16LargeFOV
from bana_mm.utils.safe_loading import checkpoint_problem, read_checkpoint, weights_in


class Payload:
    """Unpickles as a call that leaves a trace: harmless, but code."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def hostile(tmp_path):
    """A checkpoint with weights and a payload, and the trace that running it would leave."""
    path = tmp_path / 'hub' / 'checkpoints' / 'hostile.pth'
    path.parent.mkdir(parents=True)
    torch.save(dict(state_dict={'features.0.weight': torch.zeros(2)}, extra=Payload(tmp_path / 'trace')), path)
    return path


class Pretrained(BaseModule):
    def __init__(self, checkpoint):
        super().__init__(dict(type='Pretrained', checkpoint=str(checkpoint)))
        self.layer = nn.Linear(1, 1)


WAYS = {
    'local': lambda path: CheckpointLoader.load_checkpoint(str(path)),
    'to a model': lambda path: load_checkpoint(nn.Linear(1, 1), str(path)),
    'init_cfg': lambda path: Pretrained(path).init_weights(),
    'pretrained': lambda path: VGG16LargeFOV(width_mult=0.1, pretrained=str(path)).init_weights(),
    'URL': lambda path: CheckpointLoader.load_checkpoint(f'https://example.org/{path.name}'),
    'labels': lambda path: load_strictly(nn.Linear(1, 1), path),
    'ours': read_checkpoint,
    'ours, mapped': lambda path: read_checkpoint(path, mmap=True),
}


@pytest.mark.parametrize('way', WAYS)
def test_code_is_refused(hostile, tmp_path, monkeypatch, way):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))  # where a file of a URL lies once it is there
    with pytest.raises(ValueError, match=r'hostile\.pth: checkpoint is refused, as it holds more than weights'):
        WAYS[way](hostile)
    assert not (tmp_path / 'trace').exists()
    torch.load(hostile, weights_only=False)  # the payload works where nothing is refused
    assert (tmp_path / 'trace').exists()


def test_the_setting_of_torch_is_back_afterwards(hostile, monkeypatch):
    for before in (None, '0'):
        monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
        if before is not None:
            monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', before)
        with pytest.raises(ValueError):
            CheckpointLoader.load_checkpoint(str(hostile))
        assert os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD') == before


def test_guarded_when_mmengine_comes_later(hostile, tmp_path):
    """Above it was there first. Our import alone does not pull mmengine's runner in, which takes a second."""
    code = (
        'import sys, bana_mm.registry; early = "mmengine.runner" in sys.modules\n'
        'from mmengine.runner.checkpoint import CheckpointLoader\n'
        'try:\n    CheckpointLoader.load_checkpoint(sys.argv[1])\n'
        'except ValueError as error:\n    print(early, error)\n'
    )
    done = subprocess.run([sys.executable, '-c', code, str(hostile)], capture_output=True, text=True)
    assert 'checkpoint is refused' in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1].startswith('False')
    assert not (tmp_path / 'trace').exists()


def test_weights_are_read(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict={'weight': torch.ones(1, 1), 'bias': torch.zeros(1)}, meta=dict(iter=3)), path)
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == dict(iter=3)
    model = nn.Linear(1, 1)
    load_strictly(model, path)
    assert model.weight == 1
    assert weights_in(read_checkpoint(path), path).keys() == {'weight', 'bias'}


@pytest.mark.parametrize('content', [[1, 2], dict(state_dict=3), dict(state_dict=dict(a='b')), torch.zeros(2)])
def test_no_weights(tmp_path, content):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth: checkpoint holds no weights by name'):
        load_strictly(nn.Linear(1, 1), tmp_path / 'a.pth')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.99])
def test_cut_off(tmp_path, share, zipped):
    path = tmp_path / 'iter_4.pth'
    torch.save(dict(state_dict=dict(w=torch.rand(1000))), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_checkpoint, lambda name: CheckpointLoader.load_checkpoint(str(name))):
        with pytest.raises(ValueError, match=r'iter_4\.pth: (checkpoint is cut off|not a checkpoint)'):
            read(path)
    if zipped or share == 0:
        for number in (1, 2):
            torch.save(dict(state_dict={}), tmp_path / f'iter_{number}.pth')
            os.utime(tmp_path / f'iter_{number}.pth', (number, number))
        (tmp_path / 'iter_3.pth').write_bytes(content[:100])  # newer, but broken too
        with pytest.raises(ValueError, match=r'iter_4\.pth: checkpoint is cut off.* beside it is .*iter_2\.pth'):
            read_checkpoint(path)
        assert zipfile.is_zipfile(tmp_path / 'iter_2.pth')


def test_other_problems(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.pth: checkpoint does not exist'):
        read_checkpoint(tmp_path / 'a.pth')
    with pytest.raises(FileNotFoundError):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    (tmp_path / 'a.pth').write_text('no checkpoint')
    with pytest.raises(ValueError, match=r'a\.pth: '):
        read_checkpoint(tmp_path / 'a.pth')
    assert checkpoint_problem('https://example.org/a.pth', RuntimeError('gone\nmore')).endswith('be read (gone)')
