"""Reading checkpoints without running what is in them, and saying what is wrong with one.

A checkpoint is a pickle, and a pickle may hold code. ``torch.load(weights_only=True)`` refuses it; from torch 2.6 on
that is what it does unless it is told otherwise, but mmengine's loader of URLs, and of names such as
``open-mmlab://vgg16_caffe``, still tells it otherwise.
"""

import importlib.util
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import torch

from .checkpoint import allow_mmengine_checkpoints

# What torch says of a file that is no pickle at all.
_NO_PICKLE = ('Unsupported operand', 'invalid load key', 'could not find MARK', 'pickle data was truncated')
_FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'  # torch's own; stronger than an argument weights_only=False
_LOADER = 'mmengine.runner.checkpoint'


def read_checkpoint(path: str | Path, mmap: bool = False) -> Any:
    """Read a local checkpoint, weights and plain values only.

    Args:
        path (str | Path): The file.
        mmap (bool): Leave the weights on the disk until they are used. Defaults to False.

    Returns:
        Any: What it holds, tensors on the CPU.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it can't be read, is cut off, or holds more than weights; the message names the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: checkpoint does not exist')
    allow_mmengine_checkpoints()
    try:
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except Exception as error:  # torch.load fails in many ways
        raise ValueError(checkpoint_problem(path, error)) from error


def weights_in(checkpoint: Any, path: str | Path) -> Mapping[str, torch.Tensor]:
    """The weights by name of a checkpoint, which may be a bare state dict.

    Args:
        checkpoint (Any): What was read.
        path (str | Path): Its file, for the message.

    Raises:
        ValueError: If it holds none.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f'{path}: checkpoint holds no weights by name (state_dict)')
    return state


def checkpoint_problem(path: str | Path, error: Exception) -> str:
    """What is wrong with a checkpoint that can't be read, and which one to take instead.

    Args:
        path (str | Path): A file, or a URL or name that mmengine knows.
        error (Exception): What its reader raised.
    """
    reason = str(error).strip().split('\n')[0]
    local = Path(path)
    if local.is_file() and _is_cut_off(local, error):
        message = f'{path}: checkpoint is cut off, as by a full disk or a process that was killed while it wrote'
        previous = next((other for other in _newest_first(local) if zipfile.is_zipfile(other)), None)
        if previous is None:
            return message
        return f'{message}. The newest whole one beside it is {previous}: take that one (--resume {previous})'
    if isinstance(error, pickle.UnpicklingError) and not any(sign in str(error) for sign in _NO_PICKLE):
        return (
            f'{path}: checkpoint is refused, as it holds more than weights, and reading that may run code ({reason}). '
            "Whoever made it can save the weights alone: torch.save(dict(state_dict=model.state_dict()), 'weights.pth')"
        )
    return f'{path}: not a checkpoint that can be read ({reason})'


def guard_mmengine_loader() -> None:
    """Let mmengine's ``CheckpointLoader``, through which it reads every checkpoint, read weights only.

    That is whatever a config names as ``load_from``, ``init_cfg`` or ``pretrained``, and what a training resumes from.
    Takes place when mmengine's module is imported, which takes a second and not every process does. Errors name the
    file. Needs torch 2.6, older ones can't be told which of mmengine's classes are harmless. (ours)
    """
    if tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 6):
        _after_import(_LOADER, _guard)


def _guard() -> None:
    loader = sys.modules[_LOADER].CheckpointLoader
    original = loader.load_checkpoint
    if getattr(original, 'reads_weights_only', False):
        return

    def load_checkpoint(filename: str, map_location: Any = None, logger: Any = 'current') -> Any:
        """See mmengine's ``CheckpointLoader.load_checkpoint``."""
        with _weights_only():
            try:
                return original(filename, map_location, logger)
            except ImportError:
                raise
            except Exception as error:
                if isinstance(error, OSError) and not Path(filename).is_file():
                    raise  # not there, or no way to it
                raise ValueError(checkpoint_problem(filename, error)) from error

    load_checkpoint.reads_weights_only = True  # type: ignore[attr-defined]
    loader.load_checkpoint = staticmethod(load_checkpoint)


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = '1'
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


def _is_cut_off(path: Path, error: Exception) -> bool:
    with open(path, 'rb') as file:
        begin = file.read(4)
    if begin.startswith(b'PK'):
        return not zipfile.is_zipfile(path)
    return not begin or isinstance(error, EOFError) or 'truncated' in str(error)


def _newest_first(path: Path) -> list[Path]:
    others = [other for other in path.parent.glob(f'*{path.suffix}') if other != path and other.is_file()]
    return sorted(others, key=lambda other: other.stat().st_mtime, reverse=True)


def _after_import(name: str, call: Callable[[], None]) -> None:
    """Call something as soon as a module is there."""
    if name in sys.modules:
        call()
        return

    class Finder(MetaPathFinder):
        def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
            if fullname != name:
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(fullname)
            if spec is None or spec.loader is None:
                return spec
            execute = spec.loader.exec_module

            def then_call(module: Any) -> None:
                execute(module)
                call()

            spec.loader.exec_module = then_call  # type: ignore[method-assign]
            return spec

    if not any(getattr(finder, 'waits_for', None) == name for finder in sys.meta_path):
        finder = Finder()
        finder.waits_for = name  # type: ignore[attr-defined]
        sys.meta_path.insert(0, finder)
