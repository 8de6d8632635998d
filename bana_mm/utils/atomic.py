"""Files that are there as a whole or not at all."""

import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path

STALE_SECONDS = 24 * 3600  # after which a leftover of a process that can't be asked about is taken for one
FULL = {errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, 'EDQUOT') else [])}
_PARTIAL = re.compile(r'\..+\.(\d+)@([^@/]*)\.part')


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to that becomes ``path`` when the ``with`` block ends without an error.

    It lies beside ``path`` as ``.NAME.PID@MACHINE.part``. After an error it is removed; one that a killed process has
    left is removed by the next process that writes to that folder.

    Args:
        path (str | Path): File to write; its folder must exist.

    Raises:
        OSError: Of the block; if the disk is full it names ``path``.
    """
    path = Path(path)
    _remove_leftovers(path.parent.absolute())
    partial = path.with_name(f'.{path.name}.{os.getpid()}@{_machine()}.part')
    try:
        with naming_full_disk(path):
            yield partial
            os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def naming_full_disk(path: str | Path) -> Iterator[None]:
    """Say of which file it is that a disk or a quota has no room, and what to do.

    Args:
        path (str | Path): The file that is written in the ``with`` block.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        advice = 'make room, and start again to go on'
        raise OSError(error.errno, f'{path}: can not be written ({os.strerror(error.errno)}); {advice}') from error


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have begun to write; looked for once in a process and folder."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith('.part')]
    except OSError:  # the writing will say what is wrong with it
        return
    for name in names:
        found = _PARTIAL.fullmatch(name)
        with suppress(OSError):  # another process may have been quicker
            if found and (_is_dead(int(found[1]), found[2]) or _age(folder / name) > STALE_SECONDS):
                (folder / name).unlink()


def _is_dead(pid: int, machine: str) -> bool:
    """Whether no other process can be writing; False where that can't be told."""
    if machine != _machine() or os.name != 'posix':
        return False
    if pid == os.getpid():  # an earlier process of the same number: this one has not written here before
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


@lru_cache(maxsize=1)
def _machine() -> str:
    """Within what process ids tell processes apart: the machine, and of a container its own table of processes."""
    name = re.sub(r'[^\w-]', '', socket.gethostname())[:16]
    try:
        return f'{name}-{os.stat("/proc/self/ns/pid").st_ino:x}'
    except OSError:  # not Linux
        return name
