"""Keys of ``--cfg-options`` that a config lacks but nearly has."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# How alike two keys must be, as difflib measures it: max_iter and max_iters have 0.94, val_begin and val_interval 0.57.
LIKENESS = 0.8


def misspelt_keys(cfg: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """Options that set a key which the config does not have, while it has one of nearly the same name.

    mmengine takes any key, as a config may leave out arguments that its classes know; a misspelt one may then go
    unnoticed.

    Args:
        cfg (Mapping): Before the options are merged.
        options (Mapping): By dotted key.

    Returns:
        dict[str, str]: By misspelt key the one that may be meant, both dotted.
    """
    found = {}
    for key in options:
        meant = _nearest(cfg, key)
        if meant is not None:
            found[key] = meant
    return found


def _nearest(cfg: Mapping[str, Any], key: str) -> str | None:
    parts, place = key.split('.'), cfg
    for depth, part in enumerate(parts):
        if isinstance(place, (list, tuple)):
            if not part.isdigit() or int(part) >= len(place):
                return None  # mmengine has its own word on that
            place = place[int(part)]
        elif isinstance(place, Mapping) or hasattr(place, 'keys'):
            if part not in place:
                near = difflib.get_close_matches(part, [str(name) for name in place.keys()], 1, LIKENESS)
                if near:
                    return '.'.join([*parts[:depth], near[0], *parts[depth + 1 :]])
                # what stands further in, as optimizer.lr for optim_wrapper.optimizer.lr
                return _only_end(cfg, key) if depth == 0 and len(parts) > 1 else None
            place = place[part]
        else:
            return None
    return None


def _only_end(cfg: Mapping[str, Any], key: str) -> str | None:
    """The one dotted key of the config that ends with the given one."""
    ends = [name for name in _dotted(cfg) if name.endswith(f'.{key}')]
    return ends[0] if len(ends) == 1 else None


def _dotted(place: Any, prefix: str = '') -> Iterator[str]:
    if isinstance(place, Mapping) or hasattr(place, 'keys'):
        for name in place.keys():
            yield f'{prefix}{name}'
            yield from _dotted(place[name], f'{prefix}{name}.')
    elif isinstance(place, Sequence) and not isinstance(place, str):
        for index, value in enumerate(place):
            yield from _dotted(value, f'{prefix}{index}.')
