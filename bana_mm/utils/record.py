"""A record beside results of what they were made from, so that a run never goes on with other inputs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .atomic import whole_file

# What the networks of a label source hold. Records had no such field once, and one without it says nothing of them.
NETWORKS_FIELD = 'networks'


def file_digest(path: str | Path) -> str:
    """The first 16 digits of a file's SHA-256, which tell files apart wherever they lie.

    Args:
        path (str | Path): The file, of any size.

    Raises:
        FileNotFoundError: If it is missing.
    """
    digest = hashlib.sha256()  # hashlib.file_digest came with Python 3.11
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Args:
        path (str | Path): The file, in UTF-8.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is not valid; the message names the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from error


def as_stored(content: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it will be when read back from JSON: tuples become lists, paths and other things fail.

    Args:
        content (Mapping): JSON-like, of any depth.

    Raises:
        TypeError: If it holds something that JSON can't say.
    """
    return json.loads(json.dumps(content))


def keep_record(
    path: str | Path,
    content: Mapping[str, Any],
    made: str = 'what is in this folder was made',
    way_out: str = 'choose another folder',
) -> None:
    """Write a record, or make sure that the one which is there says the same.

    Args:
        path (str | Path): JSON file; its folder must exist.
        content (Mapping): JSON-like, of any depth.
        made, way_out (str): See :func:`check_record`.

    Raises:
        ValueError: If a field differs from what is recorded (the message names the first), or the file can't be read.
    """
    path = Path(path)
    if path.exists():
        check_record(path, read_json(path), content, made, way_out)
        return
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def check_record(
    where: str | Path,
    stored: Mapping[str, Any],
    content: Mapping[str, Any],
    made: str = 'what is in this folder was made',
    way_out: str = 'choose another folder',
) -> None:
    """Make sure that results which are there were made as this run would make them.

    A record that was stored without :data:`NETWORKS_FIELD` is not compared in it, so that what was begun then goes on.

    Args:
        where (str | Path): File or folder, for the message.
        stored (Mapping): The record that is there, as read from JSON.
        content (Mapping): That of this run, JSON-like.
        made (str): How the message begins. Defaults to 'what is in this folder was made'.
        way_out (str): What the user can do. Defaults to 'choose another folder'.

    Raises:
        ValueError: If a field differs; the message names the first, and both values.
    """
    content = as_stored(content)
    if NETWORKS_FIELD not in stored:
        content.pop(NETWORKS_FIELD, None)
    for field, old, new in differences(stored, content):
        raise ValueError(f'{where}: {made} with {field} = {old!r}, this run has {new!r}; {way_out}')


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
