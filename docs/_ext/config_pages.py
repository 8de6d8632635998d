"""Every config with its first lines and its text, and the variables of the environment that configs read."""

import re
from pathlib import Path

VARIABLE = re.compile(r'\{\{\$(\w+):([^}]*)\}\}')


def anchor(path: Path) -> str:
    """The target of a config on the page of configs."""
    return f'config-{path.parent.name}-{path.stem}'.replace('_', '-')


def all_configs(root: Path) -> str:
    """A section for each config but the shared parts in ``_base_``, folder by folder."""
    paths = sorted((root / 'configs').glob('[!_]*/*.py'))
    return '\n\n'.join(_section(root, path) for path in paths)


def _section(root: Path, path: Path) -> str:
    text = path.read_text(encoding='utf-8')
    lines = text.splitlines()
    comment = []
    while lines and lines[0].startswith('#'):
        comment.append(lines.pop(0).removeprefix('#').strip())
    title = [f'({anchor(path)})=', f'### {path.relative_to(root).as_posix()}', '', *map(_escape, comment), '']
    return '\n'.join([*title, '```python', *lines, '```'])


def environment_variables(root: Path) -> str:
    """A table of variables, their defaults and the files that read them."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for path in sorted((root / 'configs').rglob('*.py')):
        for name, default in VARIABLE.findall(path.read_text(encoding='utf-8')):
            defaults, files = found.setdefault(name, (set(), set()))
            defaults.add(default)
            files.add(path.relative_to(root / 'configs').as_posix())
    rows = [
        f'| `{name}` | {", ".join(f"`{default}`" for default in sorted(defaults))} | {_shortened(files)} |'
        for name, (defaults, files) in sorted(found.items())
    ]
    return '\n'.join(['| variable | default | read in `configs/` |', '|---|---|---|', *rows])


def _shortened(files: set[str]) -> str:
    shown = [f'`{name}`' for name in sorted(files)]
    return ', '.join(shown[:3]) + (f' and {len(shown) - 3} more' if len(shown) > 3 else '')


def _escape(text: str) -> str:
    for character in '\\<*$[':
        text = text.replace(character, f'\\{character}')
    return text
