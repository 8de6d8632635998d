"""Pages that are read off the project: insertions ``<!-- insert: KIND ARGUMENT -->`` and links into the repository.

The sources stay readable where they lie: the markers are comments, and links lead to files of the repository. When
Sphinx reads a page, the markers are replaced, and links become links to pages, to configs on the page of configs, or
to the API.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import api_pages
import config_pages
import tool_pages
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / 'docs'
# Files outside docs/ that have a page.
PAGES = {
    'README.md': 'index.md',
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
    'configs/bana/README.md': 'experiments_bana.md',
    'configs/addons/README.md': 'experiments_addons.md',
}
MARKER = re.compile(r'^<!-- insert: (\w+) ?(\S*) *-->$', re.MULTILINE)
LINK = re.compile(r'(?<!!)\[((?:[^\[\]]|\\\[|\\\])*)\]\(([^()\s]+)\)')
FENCE = re.compile(r'(^ *```.*?^ *```$)', re.MULTILINE | re.DOTALL)


def file_page(path: str, page: Path) -> str:
    """A Markdown file of the repository, without its title's line."""
    text = (ROOT / path).read_text(encoding='utf-8')
    return fit_links(text.partition('\n')[2], (ROOT / path).parent, page)


INSERTIONS: dict[str, Callable[[str, Path], str]] = dict(
    file=file_page,
    tools=lambda argument, page: tool_pages.all_tools(ROOT),
    configs=lambda argument, page: config_pages.all_configs(ROOT),
    variables=lambda argument, page: config_pages.environment_variables(ROOT),
    api=lambda argument, page: api_pages.package_page(argument),
)


def fit_links(text: str, folder: Path, page: Path) -> str:
    """Links as they lie in ``folder``, made to fit a page of the documentation; code stays as it is."""
    parts = FENCE.split(text)
    return ''.join(part if part.lstrip().startswith('```') else _fit(part, folder, page) for part in parts)


def _fit(text: str, folder: Path, page: Path) -> str:
    def replace(match: re.Match) -> str:
        label, target = match.groups()
        path, _, anchor = target.partition('#')
        if not path or re.match(r'[a-z]+:', target):
            return match.group()
        file = Path(os.path.normpath(folder / path))
        relative = file.relative_to(ROOT).as_posix()
        name = label.strip('`')
        if relative.startswith('bana_mm/') and file.suffix == '.py':
            return api_pages.reference(relative, name)
        if relative.startswith('configs/') and file.suffix == '.py' and not relative.startswith('configs/_base_'):
            return f'[{label}](#{config_pages.anchor(file)})'
        if file.is_dir() or relative.startswith('configs/_base_'):
            return f'`{name}`'
        if relative in PAGES:
            file = DOCS / PAGES[relative]
            anchor = '' if relative == 'README.md' else anchor  # the first page is another text
        return f'[{label}]({os.path.relpath(file, page.parent)}{"#" if anchor else ""}{anchor})'

    return LINK.sub(replace, text)


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    page = DOCS / f'{docname}.md'
    text = fit_links(source[0], page.parent, page)
    source[0] = MARKER.sub(lambda match: INSERTIONS[match[1]](match[2], page), text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect('source-read', read_page)
    app.connect('missing-reference', api_pages.find_moved)
    return dict(parallel_read_safe=True)
