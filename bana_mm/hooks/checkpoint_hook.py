"""Checkpoints that a killed training leaves whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from bana_mm.registry import HOOKS
from bana_mm.utils.atomic import whole_file

BACKEND = 'bana_mm_whole_file'


class WholeFileBackend(LocalBackend):
    """Local files that are there as a whole or not at all."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file beside its name, then rename it."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(obj)


register_backend(BACKEND, WholeFileBackend, force=True)


class _RemovesLater:
    """A file backend that collects what is to be removed."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.removals: list[tuple[Callable[[str], None], str]] = []

    def remove(self, path: str) -> None:
        self.removals.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.removals.append((self._backend.rmtree, path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` that never leaves a training without a checkpoint.

    mmengine removes the oldest checkpoint before it writes the next one, and writes in place: killed in between, with
    ``max_keep_ckpts=1``, nothing is left. Here a file is written beside its name and renamed, and what is to go goes
    once the next one is there. ``tools/train.py`` puts this hook in the place of mmengine's.

    Args:
        args: See mmengine's class; ``backend_args`` for another place than the local disk leave the writing to that.
        kwargs: See mmengine's class.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.backend_args is None and self.file_client_args is None and '://' not in str(self.out_dir):
            self.backend_args = dict(backend=BACKEND)

    def before_train(self, runner: Runner) -> None:
        """Find the place of the checkpoints, and remove what killed trainings have begun to write there."""
        super().before_train(runner)
        if self.backend_args == dict(backend=BACKEND) and is_main_process():
            for leftover in Path(self.out_dir).glob('.*.pth.*.part'):
                leftover.unlink()

    def _save_checkpoint_with_step(self, *args, **kwargs) -> None:
        with self._removing_afterwards():
            super()._save_checkpoint_with_step(*args, **kwargs)

    def _save_best_checkpoint(self, *args, **kwargs) -> None:
        with self._removing_afterwards():
            super()._save_best_checkpoint(*args, **kwargs)

    @contextmanager
    def _removing_afterwards(self) -> Iterator[None]:
        backend = self.file_backend
        self.file_backend = later = _RemovesLater(backend)
        try:
            yield
        finally:
            self.file_backend = backend
        for remove, path in later.removals:
            remove(path)
