"""Resume a training with the random numbers that an uninterrupted one would draw."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bana_mm.registry import HOOKS

KEY = 'random_state'


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Keeps the state of the random generators in checkpoints, and lets validation draw without a trace.

    A training that is resumed ends with the weights of one that was not interrupted: mmengine goes through the data of
    the iterations that are done, and this hook sets the generators of Python, numpy and torch (dropout, and the
    augmentation where no worker processes load the data) to where they were. That holds for one process, for
    trainings counted in iterations, and for those counted in epochs without worker processes that persist, which
    begin anew with their own random numbers. ``tools/train.py`` adds this hook.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._before_val: dict[str, Any] | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the state; during validation that of the training before it."""
        checkpoint[KEY] = random_state() if self._before_val is None else self._before_val

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the state until the training goes on; it is that of a single process."""
        self._loaded = checkpoint.get(KEY) if get_world_size() == 1 else None

    def before_train(self, runner: Runner) -> None:
        """Set the state between the data that is skipped and the first that is used."""
        loop = runner.train_loop
        if runner.iter == 0:  # weights to start from, nothing to go on with
            self._loaded = None
        elif self._loaded is not None and hasattr(loop, 'dataloader_iterator'):
            state, self._loaded = self._loaded, None
            loop.dataloader_iterator = _Restoring(loop.dataloader_iterator, runner.iter, state)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the state, in a training counted in epochs."""
        if self._loaded is not None:
            set_random_state(self._loaded)
            self._loaded = None

    def before_val(self, runner: Runner) -> None:
        """Remember the state of the training."""
        self._before_val = random_state()

    def after_val(self, runner: Runner) -> None:
        """Go on where the training was."""
        if self._before_val is not None:
            set_random_state(self._before_val)
            self._before_val = None


def random_state() -> dict[str, Any]:
    """The state of the generators, in tensors and plain values as a checkpoint may hold them."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = dict(
        python=[version, list(words), gauss],
        numpy=[str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Set the generators to what :func:`random_state` returned."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


class _Restoring:
    """Batches, and before the first that is not skipped the state of the generators."""

    def __init__(self, batches: Iterator[Any], skipped: int, state: dict[str, Any]) -> None:
        self._batches, self._skipped = batches, skipped
        self._state: dict[str, Any] | None = state

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._skipped > 0:
            self._skipped -= 1
        elif self._state is not None:
            set_random_state(self._state)
            self._state = None
        return next(self._batches)

    def skip_iter(self, number: int) -> None:
        """For mmengine's fork, which can skip batches without loading them; then workers would draw other numbers."""
        for _ in range(number):
            next(self)
