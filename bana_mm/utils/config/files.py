"""Config files, read by one thread at a time."""

import os
from threading import RLock

from mmengine.config import Config

# ast.parse, with which mmengine reads configs, fails now and then where threads call it side by side (SystemError, seen
# with Python 3.11.7). Configs also read the environment: whoever sets that for one of them holds the lock too.
READING = RLock()


def read_file(path: str | os.PathLike) -> Config:
    """A config as it stands in its file, with what it inherits.

    Args:
        path (str | os.PathLike): The file.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    with READING:
        return Config.fromfile(path)
