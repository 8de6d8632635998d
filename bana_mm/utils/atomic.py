"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to that becomes ``path`` when the ``with`` block ends without an error.

    It lies beside ``path`` as ``.NAME.PID.part``, which a killed process leaves behind.

    Args:
        path (str | Path): File to write; its folder must exist.
    """
    path = Path(path)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.part')
    yield partial
    os.replace(partial, path)
