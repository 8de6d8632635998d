"""What the tests of the pipeline share."""

from pathlib import Path

import pytest

from bana_mm.utils import resources


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools that is used in place of the package's."""
    for folder in ('tools', 'configs'):
        (tmp_path / 'package' / '.mim' / folder).mkdir(parents=True)
    monkeypatch.setattr(resources, 'PACKAGE', tmp_path / 'package')
    (tmp_path / 'package' / '.mim' / 'tools' / 'pipeline.py').touch()
    return tmp_path / 'package' / '.mim' / 'tools'
