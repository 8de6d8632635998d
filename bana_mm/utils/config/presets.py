"""Sizes of a run: one file of overrides that any config takes, in place of a second config for each."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bana_mm.utils.resources import resource_root

from .files import read_file


def known_presets() -> dict[str, Path]:
    """The presets that come with the package, by name; none where it was copied without its configs."""
    try:
        folder = resource_root() / 'configs/_base_/presets'
    except FileNotFoundError:
        return {}
    return {path.stem: path for path in sorted(folder.glob('*.py'))}


def apply_preset(cfg: Config, preset: str) -> None:
    """Merge a preset's overrides into a config.

    The file has ``overrides``, a dict of named parts. Each is ``dict(when=..., set=...)``: ``set`` is merged as that of
    an inheriting config would be, in the order of the parts, where the config has all the values that ``when`` gives by
    dotted key (of a tuple, one of them). Parts without ``when`` go into every config.

    Args:
        cfg (Config): Changed in place.
        preset (str): Name of a preset, such as 'cpu', or a file of one's own.

    Raises:
        FileNotFoundError: If there is no such preset.
        ValueError: If the file is none, or a part does not fit the config. The message names the file.
    """
    path = Path(preset) if preset.endswith('.py') else known_presets().get(preset)
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f'preset {preset!r} does not exist; there are {", ".join(known_presets()) or "none"}, and files of your '
            'own (FILE.py)'
        )
    parts = read_file(path).get('overrides')
    if not isinstance(parts, Mapping):
        raise ValueError(f'{path}: a preset has overrides = dict(NAME=dict(when=..., set=...))')
    for name, part in parts.items():
        if not isinstance(part, Mapping) or not {'set'} <= set(part) <= {'when', 'set'}:
            raise ValueError(f'{path}: overrides.{name} must be a dict of set, and maybe when')
        if all(_fits(cfg, key, value) for key, value in part.get('when', {}).items()):
            try:
                cfg.merge_from_dict(copy.deepcopy(dict(part['set'])))
            except (TypeError, ValueError, KeyError) as error:
                raise ValueError(f'{path}: overrides.{name} does not fit {cfg.filename}: {error}') from error


def _fits(cfg: Config, key: str, wanted: Any) -> bool:
    """Whether a config has a value, or one of several, at a dotted key."""
    found: Any = cfg
    for part in key.split('.'):
        if not isinstance(found, (Mapping, Config)) or part not in found:
            return False
        found = found[part]
    return found in wanted if isinstance(wanted, (list, tuple)) else found == wanted
