"""How a command line tool begins and ends: help with examples, and one line that says what was done.

Light to import: worker processes import the tools too.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .resources import tool_line

_RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
_started = time.monotonic()


def tool_parser(file: str, description: str | None, examples: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a tool, whose help ends with examples; the tool's time begins here.

    Args:
        file (str): ``__file__`` of the tool, which lies somewhere below ``tools``.
        description (str | None): Its docstring; line breaks stay.
        examples (Sequence[str]): Arguments of typical calls, without the command itself, which is shown as it is typed
            here: ``python tools/X.py`` in a checkout, ``python -m bana_mm X`` elsewhere. At least one.

    Raises:
        ValueError: Without an example.
    """
    global _started
    _started = time.monotonic()
    if not examples:
        raise ValueError(f'{file}: the help of a tool has an example')
    call = tool_line(tool_name(file))
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(['examples:', *(f'  {call} {example}' for example in examples)]),
    )


def tool_name(file: str) -> str:
    """A tool's path below ``tools``, such as ``analysis/search_crf.py``."""
    parts = Path(os.path.abspath(file)).parts
    if 'tools' not in parts[:-1]:
        raise ValueError(f'{file} does not lie below a folder tools')
    last = len(parts) - 2 - parts[-2::-1].index('tools')
    return '/'.join(parts[last + 1 :])


def say_done(what: str, where: str | os.PathLike | None = None, then: str | None = None) -> None:
    """Write the last line of a tool: how long it took, what it did, where that is, and what comes next.

    It goes to standard error, so that standard output holds the results alone; of several ranks the first writes it.

    Args:
        what (str): Such as '145 label maps'.
        where (str | os.PathLike | None): File or folder of the results. Defaults to None.
        then (str | None): A command, or a hint. Defaults to None.
    """
    if any(os.environ.get(name, '0') != '0' for name in _RANKS):
        return
    sys.stdout.flush()
    parts = [f'done in {duration(time.monotonic() - _started)}: {what}']
    if where is not None:
        parts.append(f' -> {os.fspath(where)}')
    if then is not None:
        parts.append(f'; next: {then}')
    print(''.join(parts), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time for readers: '0.4 s', '38 s', '3 min 20 s', '2 h 5 min'.

    Args:
        seconds (float): Not negative.
    """
    if seconds < 9.95:
        return f'{seconds:.1f} s'
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60} s'
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60} min'
