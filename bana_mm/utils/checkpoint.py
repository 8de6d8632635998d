"""Lets ``torch.load(weights_only=True)`` read the checkpoints that mmengine writes."""

import pickle
from collections.abc import Callable

import numpy as np
import torch

from .environment import require

# What mmengine stores beside the weights: loss histories (HistoryBuffer) and values of the message hub, that is numpy
# arrays and scalars of these kinds. Pickle names a dtype by its class, so each is listed.
NUMPY_DTYPES = ('bool', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64',
                'float16', 'float32', 'float64')


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
    renamed = [(function, f'{package}.multiarray.{function.__name__}') for function in rebuilders
               for package in ('numpy.core', 'numpy._core')]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, np.ndarray, np.dtype, *dtypes, *renamed, (_history_method, 'builtins.getattr')])


def _history_method(owner: type, name: str) -> Callable:
    """Stands in for ``getattr`` while unpickling: a statistic that ``HistoryBuffer`` has registered, nothing else."""
    from mmengine.logging import HistoryBuffer

    # Each buffer registers the default statistics when it is made.
    methods = HistoryBuffer()._statistics_methods
    if owner is not HistoryBuffer or name not in methods:
        raise pickle.UnpicklingError(f'a checkpoint may not look up {name!r} of {owner!r}')
    return methods[name]


def _torch_release() -> tuple[int, int]:
    major, minor = torch.__version__.split('.')[:2]
    return int(major), int(minor)
