"""Which package may import which, read off the files: arrows go one way, see docs/architecture.md.

functional, structures <- datasets, models <- labels <- evaluation, search, pipeline <- tools
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
GROUND = {'functional', 'utils'}
BASE = GROUND | {'structures', 'registry'}
STAGES = BASE | {'datasets', 'models'}
ALLOWED = dict(
    functional=set(),
    utils=set(),
    version=set(),
    registry={'utils'},
    structures=GROUND,
    optim={'registry', 'utils'},
    models=BASE,
    datasets=BASE,
    labels=STAGES,
    own_data=STAGES,
    evaluation=STAGES | {'labels'},
    visualization=STAGES | {'labels', 'evaluation'},
    search=STAGES | {'labels', 'evaluation'},
    pipeline=STAGES | {'labels', 'evaluation', 'version'},
    report=STAGES | {'labels', 'evaluation', 'pipeline', 'visualization', 'version'},
    labeler=STAGES | {'labels', 'visualization'},
    hooks=STAGES | {'labels', 'evaluation', 'visualization'},
)
# Single files that may know more, and why.
EXCEPTIONS = {
    ('datasets/transforms/box_pseudo_label.py', 'labels'): 'makes labels online with the source that it is given',
}
# Violations that are still to be mended: (package, imported package) -> why it is there.
KNOWN: dict[tuple[str, str], str] = {}


@cache
def imports() -> dict[tuple[str, str], list[str]]:
    """(package, imported package of ours) -> ``file:line`` of each import, wherever it stands in the file."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted((REPO / 'bana_mm').rglob('*.py')):
        parts = path.relative_to(REPO).with_suffix('').parts
        if '.mim' in parts or len(parts) < 2:
            continue
        package = parts[1] if parts[1] not in ('__init__', '__main__') else ''
        file = '/'.join(path.relative_to(REPO / 'bana_mm').parts)
        for name, line in imported_modules(path, parts[:-1]):
            target = name.split('.')[1] if name.startswith('bana_mm.') else None
            if target not in (None, package) and (file, target) not in EXCEPTIONS:
                found.setdefault((package, target), []).append(f'{file}:{line}')
    return found


def imported_modules(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Absolute names of what a file imports, and the lines; ``from a import b`` counts as ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            name = '.'.join([*base, *([node.module] if node.module else [])])
            yield from ((f'{name}.{alias.name}', node.lineno) for alias in node.names)


def test_relative_and_absolute_imports_are_understood(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text(
        'import bana_mm.utils.table\nfrom bana_mm import labels\nfrom . import b\nfrom .c import d\n'
        'def late():\n    from ...models.losses import e\n'
    )
    assert list(imported_modules(path, ('bana_mm', 'datasets', 'transforms'))) == [
        ('bana_mm.utils.table', 1),
        ('bana_mm.labels', 2),
        ('bana_mm.datasets.transforms.b', 3),
        ('bana_mm.datasets.transforms.c.d', 4),
        ('bana_mm.models.losses.e', 6),
    ]


def test_every_package_has_its_place():
    folders = {path.parent.name for path in (REPO / 'bana_mm').glob('*/__init__.py')}
    modules = {path.stem for path in (REPO / 'bana_mm').glob('*.py')} - {'__init__', '__main__'}
    assert set(ALLOWED) == folders | modules


def test_no_circle():
    """Each package may only import those whose own imports are settled already."""
    settled: set[str] = set()
    while len(settled) < len(ALLOWED):
        ready = {package for package, others in ALLOWED.items() if package not in settled and others <= settled}
        assert ready, f'a circle among {sorted(set(ALLOWED) - settled)}'
        settled |= ready


@pytest.mark.parametrize(
    ('package', 'other'),
    [
        pytest.param(
            package,
            other,
            marks=[pytest.mark.xfail(strict=True, reason=KNOWN[package, other])] if (package, other) in KNOWN else [],
        )
        for package, allowed in ALLOWED.items()
        for other in ALLOWED
        if other not in allowed | {package}
    ],
)
def test_imports_go_one_way(package, other):
    assert imports().get((package, other), []) == []


def test_the_package_itself_imports_next_to_nothing():
    # the labeler only when it is asked for; test_imports.py holds that
    assert {other for package, other in imports() if package == ''} <= {'utils', 'version', 'labeler'}


def test_exceptions_are_still_needed():
    for (file, other), _ in EXCEPTIONS.items():
        path = REPO / 'bana_mm' / file
        package = path.relative_to(REPO).parent.parts
        assert any(name.startswith(f'bana_mm.{other}') for name, _ in imported_modules(path, package)), file


def test_nothing_imports_tools_or_benchmarks():
    names = {'tools', 'benchmarks', 'tests'}
    for path in (REPO / 'bana_mm').rglob('*.py'):
        if '.mim' not in path.parts:
            for name, line in imported_modules(path, path.relative_to(REPO).parent.parts):
                assert name.split('.')[0] not in names, f'{path}:{line}'
