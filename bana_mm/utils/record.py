"""A record beside results of what they were made from, so that a run never goes on with other inputs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .atomic import whole_file


def keep_record(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a record, or make sure that the one which is there says the same.

    Args:
        path (str | Path): JSON file; its folder must exist.
        content (Mapping): JSON-like, of any depth.

    Raises:
        ValueError: If a field differs from what is recorded (the message names the first), or the file can't be read.
    """
    path = Path(path)
    content = json.loads(json.dumps(content))  # tuples become lists, as they will when read back
    if not path.exists():
        with whole_file(path) as partial:
            partial.write_text(json.dumps(content, indent=2) + '\n')
        return
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from error
    for field, old, new in differences(stored, content):
        raise ValueError(
            f'{path}: what is in this folder was made with {field} = {old!r}, this run has {new!r}; '
            'choose another folder'
        )


def differences(old: Mapping, new: Mapping, prefix: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Fields in which two nested dicts differ.

    Args:
        old (Mapping): First dict.
        new (Mapping): Second dict.
        prefix (str): In front of the fields' names. Defaults to ''.

    Yields:
        tuple[str, Any, Any]: Name with dots, old and new value; 'nothing' stands for a field that one of them lacks.
    """
    for key in dict.fromkeys([*old, *new]):
        before, now = old.get(key, 'nothing'), new.get(key, 'nothing')
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from differences(before, now, f'{prefix}{key}.')
        elif before != now:
            yield f'{prefix}{key}', before, now
