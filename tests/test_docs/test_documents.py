"""Links in documents lead somewhere, error messages are those of the code, and the README is short."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from documents import DOCUMENTS, REPO, prose

LINK = re.compile(r'!?\[(?:[^\[\]]|\\\[|\\\])*\]\(([^()\s]+)\)')
IDS = [path.relative_to(REPO).as_posix() for path in DOCUMENTS]


@cache
def anchors(path: Path) -> set[str]:
    """Targets of a document, as GitHub and MyST make them of its headings."""
    found = set()
    for heading in re.findall(r'^#{1,6} (.+)$', re.sub(r'```.*?```', '', path.read_text(), flags=re.DOTALL), re.M):
        slug = re.sub(r'[^\w\- ]', '', heading.replace('`', '').lower()).replace(' ', '-')
        found.add(slug)
    return found


@pytest.mark.parametrize('path', DOCUMENTS, ids=IDS)
def test_links_resolve(path):
    for target in LINK.findall(prose(path.read_text())):
        if re.match(r'[a-z]+://', target):
            continue
        name, _, anchor = target.partition('#')
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f'{target}: there is no such file'
        assert REPO in [file, *file.parents], f'{target}: leads out of the project'
        if anchor:
            assert anchor in anchors(file), f'{target}: no heading of that name'


NAMED = re.compile(
    r'\b(?:bana_mm|benchmarks|configs|docker|docs|scripts|tests|tools)/[\w./-]+\.(?:py|md|sh|yml|ipynb)\b'
)
# Files that the tools write in the example of a zoo, and parts of names that stand for others.
EXAMPLES = ('configs/own_data/zoo.py', 'configs/own_data/zoo_sizes.py', 'configs/own_data/zoo.md')
STANDING_IN = ('NAME.py', '/X.py')


def test_files_that_are_named_exist():
    """In documents, and in docstrings and comments of the code and of configs."""
    texts = [*DOCUMENTS, *(p for folder in ('bana_mm', 'configs', 'tools') for p in (REPO / folder).rglob('*.py'))]
    named = {(p.relative_to(REPO).as_posix(), name) for p in texts for name in NAMED.findall(p.read_text())}
    gone = {(p, name) for p, name in named if not (REPO / name).exists() and name not in EXAMPLES}
    assert len(named) > 300 and [one for one in sorted(gone) if not one[1].endswith(STANDING_IN)] == []


def test_every_page_is_in_the_contents():
    index = (REPO / 'docs/index.md').read_text()
    listed = re.findall(r'^[\w/*]+$', index, re.MULTILINE)
    pages = [path.relative_to(REPO / 'docs').with_suffix('').as_posix() for path in (REPO / 'docs').rglob('*.md')]
    left_out = [
        page
        for page in pages
        if not page.startswith('_build')
        and page not in ('index', *listed)
        and not page.startswith('api/')
        and not any(page.startswith(entry.removesuffix('*')) for entry in listed if entry.endswith('*'))
    ]
    assert left_out == []
    api = (REPO / 'docs/api/index.md').read_text()
    packages = {path.parent.name for path in (REPO / 'bana_mm').glob('*/__init__.py')}
    assert packages == set(re.findall(r'^\w+$', api, re.MULTILINE)), 'docs/api/index.md lists the packages'
    assert packages | {'index'} == {path.stem for path in (REPO / 'docs/api').glob('*.md')}


def test_readme_is_short():
    lines = (REPO / 'README.md').read_text().splitlines()
    assert len(lines) <= 120
    (picture,) = re.findall(r'!\[.*?\]\((.*?)\)', '\n'.join(lines))
    assert (REPO / picture).stat().st_size < 200_000


def test_figures_of_the_readme_are_those_of_the_results():
    table = (REPO / 'docs/results/voc_animals.md').read_text()
    for name, row in {
        'whole box': 'whole box | 62.5 | 51.9',
        'GrabCut per box': 'GrabCut per box | 82.7 | 68.6',
        'DenseCRF on boxes (WSSL)': 'DenseCRF on boxes (WSSL) | 80.1 | 63.8',
        'Y_crf, the published recipe': 'Y_crf | 81.5 | 66.2',
    }.items():
        six, everything = row.split(' | ')[1:]
        assert f'| {row} |' in table and f'| {name} | {six} | {everything} |' in (REPO / 'README.md').read_text()
    assert '| Y_crf | 81.5 / 66.2 | **88.7 / 71.9** |' in table
    assert '| **Y_crf, our recipe** | **88.7** | **71.9** |' in (REPO / 'README.md').read_text()


def messages() -> list[str]:
    """All strings of the code; what is put in counts as one character."""
    found = (REPO / 'scripts/env_step.sh').read_text().splitlines()
    for path in [path for folder in ('bana_mm', 'tools') for path in (REPO / folder).rglob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(str(p.value) if isinstance(p, ast.Constant) else '\0' for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_messages_of_troubleshooting_are_those_of_the_code():
    rows = re.findall(r'^\| `(.*?)` \|', (REPO / 'docs/troubleshooting.md').read_text(), re.MULTILINE)
    assert len(rows) > 40
    strings = messages()
    unknown = []
    for row in set(rows) - {'CUDA out of memory'}:  # torch's
        pieces = re.split(r'\.{3,}', row)
        longest = max(pieces, key=len)
        pattern = re.compile('.*'.join(map(re.escape, pieces)), re.DOTALL)
        if len(longest) < 12 or not any(longest in text and pattern.search(text) for text in strings):
            unknown.append(row)
    assert unknown == []
