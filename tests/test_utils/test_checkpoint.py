import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from bana_mm.utils.checkpoint import NUMPY_DTYPES, allow_mmengine_checkpoints, require_checkpoint

LOAD = (
    'import sys, torch; {allow}'
    'hub = torch.load(sys.argv[1], weights_only=True)["message_hub"]; '
    'buffer = hub["log_scalars"]["train/loss"]; assert buffer.mean() == 2.0, buffer.mean(); '
    'assert hub["runtime_info"]["iter"] == 3'
)
ALLOW = 'from bana_mm.utils.checkpoint import allow_mmengine_checkpoints; allow_mmengine_checkpoints(); '


@pytest.fixture
def checkpoint(tmp_path):
    """A file with the parts that mmengine's Runner saves beside the weights."""
    hub = MessageHub(f'checkpoint_{tmp_path.name}')
    for loss in (1.0, 2.0, 3.0):
        hub.update_scalar('train/loss', loss)
    hub.update_info('iter', 3)
    hub.update_info('learning_rate', np.float64(0.1))
    hub.update_info('best', np.float32(0.5))
    path = tmp_path / 'iter_3.pth'
    torch.save({'state_dict': {'weight': torch.ones(2)}, 'message_hub': hub.state_dict()}, path)
    return path


def run(code, path):
    return subprocess.run([sys.executable, '-c', code, str(path)], capture_output=True, text=True)


def test_message_hub_is_loaded_with_weights_only(checkpoint):
    result = run(LOAD.format(allow=ALLOW), checkpoint)
    assert result.returncode == 0, result.stderr


def test_torch_refuses_without_the_allowance(checkpoint):
    # HistoryBuffer must be importable for the refusal to be torch's and not the unpickler's.
    result = run(LOAD.format(allow='import mmengine.logging; '), checkpoint)
    assert result.returncode != 0
    assert 'weights_only' in result.stderr.lower()


@pytest.mark.parametrize('name', NUMPY_DTYPES)
def test_numpy_kinds(tmp_path, name):
    allow_mmengine_checkpoints()
    values = np.array([0, 1, 1]).astype(name)
    torch.save({'array': values, 'scalar': values[1]}, tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert loaded['array'].dtype == values.dtype
    np.testing.assert_array_equal(loaded['array'], values)
    assert loaded['scalar'] == 1


@pytest.mark.parametrize('package', ['numpy.core', 'numpy._core'])
def test_either_side_of_numpy_2(tmp_path, package):
    """The functions' own module name is what the pickle holds; both names must be known."""
    allow_mmengine_checkpoints()
    rebuilders = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    allowed = torch.serialization.get_safe_globals()
    assert (rebuilders._reconstruct, f'{package}.multiarray._reconstruct') in allowed
    assert (rebuilders.scalar, f'{package}.multiarray.scalar') in allowed


def test_other_classes_are_still_refused(tmp_path):
    allow_mmengine_checkpoints()
    torch.save({'x': Stranger()}, tmp_path / 'a.pth')
    with pytest.raises(Exception, match='Stranger'):
        torch.load(tmp_path / 'a.pth', weights_only=True)


class Lookup:
    """Unpickles as ``getattr(HistoryBuffer, name)``."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return getattr, (HistoryBuffer, self.name)


def test_getattr_reaches_only_statistics(tmp_path):
    allow_mmengine_checkpoints()
    torch.save(Lookup('mean'), tmp_path / 'mean.pth')
    assert torch.load(tmp_path / 'mean.pth', weights_only=True) is HistoryBuffer.mean
    torch.save(Lookup('__init__'), tmp_path / 'init.pth')
    with pytest.raises(Exception, match='may not look up'):
        torch.load(tmp_path / 'init.pth', weights_only=True)


def test_calling_twice_changes_nothing():
    allow_mmengine_checkpoints()
    once = len(torch.serialization.get_safe_globals())
    allow_mmengine_checkpoints()
    assert len(torch.serialization.get_safe_globals()) == once
    assert HistoryBuffer in torch.serialization.get_safe_globals()


class Stranger:
    """Not one of mmengine's classes."""


def test_missing_checkpoint_is_named_with_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.pth').touch()
    require_checkpoint('a.pth')
    require_checkpoint('https://host/b.pth')  # whoever loads it asks for it
    with pytest.raises(FileNotFoundError, match=r'^b\.pth: checkpoint does not .* \(python -m bana_mm train my\.py\)'):
        require_checkpoint('b.pth', 'my.py')
    with pytest.raises(FileNotFoundError, match='train CONFIG'):
        require_checkpoint(tmp_path / 'b.pth')
