"""Checkpoints: lets ``torch.load(weights_only=True)`` read those of mmengine, and says whether one is a model's."""

import os
import pickle
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from .environment import require
from .resources import tool_line

# What mmengine stores beside the weights: loss histories (HistoryBuffer) and values of the message hub, that is numpy
# arrays and scalars of these kinds. Pickle names a dtype by its class, so each is listed.
NUMPY_DTYPES = (
    'bool',
    'int8',
    'int16',
    'int32',
    'int64',
    'uint8',
    'uint16',
    'uint32',
    'uint64',
    'float16',
    'float32',
    'float64',
)


def allow_mmengine_checkpoints() -> None:
    """Registers the classes inside mmengine's checkpoints as safe to unpickle.

    From torch 2.6 on ``torch.load`` refuses classes it does not know, which stops mmengine 0.10 from resuming. Only
    mmengine's ``HistoryBuffer`` and numpy's plain arrays, scalars and numeric dtypes are allowed; a checkpoint with
    anything else is still refused. A history also names its methods through ``getattr``; a stand-in that knows those
    methods alone takes its place, since the real ``getattr`` would hand out any attribute. Does nothing for older
    torch, and may be called again. (ours)

    Raises:
        ImportError: mmengine is not installed.
    """
    require('mmengine')
    from mmengine.logging import HistoryBuffer

    if _torch_release() < (2, 6):
        return  # reads everything by default and cannot name a class differently
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    rebuilders = [multiarray._reconstruct, multiarray.scalar]
    dtypes = {type(np.dtype(name)) for name in NUMPY_DTYPES}
    # A checkpoint may come from the other side of numpy 2, which moved these functions.
    renamed = [
        (function, f'{package}.multiarray.{function.__name__}')
        for function in rebuilders
        for package in ('numpy.core', 'numpy._core')
    ]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, np.ndarray, np.dtype, *dtypes, *renamed, (_history_method, 'builtins.getattr')]
    )


def _history_method(owner: type, name: str) -> Callable:
    """Stands in for ``getattr`` while unpickling: a statistic that ``HistoryBuffer`` has registered, nothing else."""
    from mmengine.logging import HistoryBuffer

    # Each buffer registers the default statistics when it is made.
    methods = HistoryBuffer()._statistics_methods
    if owner is not HistoryBuffer or name not in methods:
        raise pickle.UnpicklingError(f'a checkpoint may not look up {name!r} of {owner!r}')
    return methods[name]


def require_checkpoint(checkpoint: str | os.PathLike, config: str | os.PathLike | None = None) -> None:
    """Refuse a checkpoint that is not there, before anything is built for it.

    Args:
        checkpoint (str | os.PathLike): A file, or an address with ``://``, which is not asked for.
        config (str | os.PathLike | None): Config of its model, for the message. Defaults to None.

    Raises:
        FileNotFoundError: If it is missing; the message gives the command that trains the model.
    """
    if not os.path.isfile(checkpoint) and '://' not in os.fspath(checkpoint):
        train = tool_line('train.py', config or 'CONFIG')
        raise FileNotFoundError(f'{checkpoint}: checkpoint does not exist; train the model first ({train})')


def weight_problems(model: torch.nn.Module, state: Mapping[str, torch.Tensor], strict: bool = True) -> list[str]:
    """What keeps a state dict from being this model's.

    Args:
        model (torch.nn.Module): The model.
        state (Mapping[str, Tensor]): Weights by name.
        strict (bool): Whether buffers count as well as parameters, and weights that the model does not have.
            Defaults to True.

    Returns:
        list[str]: A phrase for each kind of problem, with the first name and how many more; empty where it fits.
    """
    own = model.state_dict()
    names = own.keys() if strict else dict(model.named_parameters()).keys()
    differing = sorted(name for name in names & state.keys() if own[name].shape != state[name].shape)
    problems = []
    if names - state.keys():
        problems.append(f'it lacks {_first(names - state.keys())}')
    if strict and state.keys() - names:
        problems.append(f'it has unknown {_first(state.keys() - names)}')
    if differing:
        name = differing[0]
        problems.append(f'{name} has shape {tuple(state[name].shape)} instead of {tuple(own[name].shape)}')
    return problems


def _first(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f'{first} and {len(others)} more' if others else first


def _torch_release() -> tuple[int, int]:
    major, minor = torch.__version__.split('.')[:2]
    return int(major), int(minor)
