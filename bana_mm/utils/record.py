"""A record beside results of what they were made from, so that a run never goes on with other inputs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .atomic import whole_file

# What the networks of a label source hold, and what their configs say of them. Records had no such fields once, and one
# without them says nothing of that.
NETWORKS_FIELD, MODEL_FIELD = 'networks', 'model'
# How many masks of the file of the boxes are among the labels. Records had it once only where there were any.
MASKS_FIELD = 'masks_used'
# Parts of a model's config that trained weights have no more to do with.
_OF_TRAINING = ('init_cfg', 'pretrained', 'train_cfg', 'label_recipe', 'instance_recipe')


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


def file_stamp(path: str | Path) -> tuple[int, int]:
    """What changes when a file is written anew, for what a process keeps of it: its time in nanoseconds, and its size.

    Args:
        path (str | Path): The file.
    """
    stat = Path(path).stat()
    return stat.st_mtime_ns, stat.st_size


def model_settings(config: Any) -> Any:
    """What a model's config says beyond its weights, for a record: how it prepares images, what its layers do.

    Args:
        config (Any): ``cfg.model``, or any part of a config; mappings, sequences and values.

    Returns:
        Any: JSON-like, without recipes (records have them) and what only a training needs.
    """
    if isinstance(config, Mapping):
        kept = {str(key): value for key, value in config.items() if key not in _OF_TRAINING}
        return {key: model_settings(value) for key, value in kept.items() if not key.startswith('loss')}
    if isinstance(config, (list, tuple)):
        return [model_settings(value) for value in config]
    return config if config is None or isinstance(config, (bool, int, float, str)) else repr(config)


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Args:
        path (str | Path): The file, in UTF-8.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is not valid; the message names the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        hint = '; save as UTF-8' if isinstance(error, UnicodeDecodeError) else ''
        raise ValueError(f'{path}: not valid JSON ({error}){hint}') from error


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file, indented and as a whole or not at all.

    Args:
        path (str | Path): File to write; its folder must exist.
        content (Any): JSON-like, of any depth.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


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
    write_json(path, content)


def check_record(
    where: str | Path,
    stored: Mapping[str, Any],
    content: Mapping[str, Any],
    made: str = 'what is in this folder was made',
    way_out: str = 'choose another folder',
) -> None:
    """Make sure that results which are there were made as this run would make them.

    A record that was stored without :data:`NETWORKS_FIELD`, without one of the networks, or without
    :data:`MODEL_FIELD`, also of a network, is not compared in it, so that what was begun then goes on. One without
    :data:`MASKS_FIELD` says that no mask was used.

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
    if MASKS_FIELD in content:
        stored = {MASKS_FIELD: 0, **stored}
    if NETWORKS_FIELD not in stored:
        content.pop(NETWORKS_FIELD, None)
    networks = content.get(NETWORKS_FIELD, {})
    for name in set(networks) - set(stored.get(NETWORKS_FIELD, {})):
        del networks[name]  # that source said nothing of its network then
    pairs = [(stored, content), *((stored[NETWORKS_FIELD].get(name, {}), one) for name, one in networks.items())]
    for old, new in pairs:
        if isinstance(new, Mapping) and MODEL_FIELD not in old:
            new.pop(MODEL_FIELD, None)
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
