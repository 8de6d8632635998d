"""Settings of Sphinx: `make docs` writes docs/_build/html."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / '_ext')]

project = 'bana_mm'
author = copyright = 'the authors of bana_mm'
release = re.search(r"'([^']+)'", (HERE.parent / 'bana_mm/version.py').read_text(encoding='utf-8')).group(1)

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'myst_parser',
    'sphinx_copybutton',
    'sphinxcontrib.mermaid',
    'project_pages',
]
exclude_patterns = ['_build', '_ext']
html_theme = 'furo'
html_title = f'bana_mm {release}'
highlight_language = 'text'  # indented blocks are commands
smartquotes = False  # would turn two hyphens into a dash

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 4
myst_fence_as_directive = ['mermaid']

napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # the fields of named tuples are described once
autodoc_typehints = 'none'  # the docstrings give types, with shapes
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
suppress_warnings = ['ref.python']  # types are given by short names, which two classes may share

# With -n every reference in a docstring to something of this package must be found; other packages are not looked up.
# Nor are private classes.
nitpick_ignore_regex = [(r'py:.*', r'(?!bana_mm\.).*|bana_mm\..*\._\w+')]
