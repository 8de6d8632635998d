"""A file appears when it is whole, and a failed attempt leaves the old one."""

import pytest

from bana_mm.utils.atomic import whole_file


def test_the_file_appears_at_the_end(tmp_path):
    with whole_file(tmp_path / 'a.txt') as partial:
        partial.write_text('new')
        assert partial.name.startswith('.a.txt.') and not (tmp_path / 'a.txt').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_an_error_leaves_the_old_file(tmp_path):
    (tmp_path / 'a.txt').write_text('old')
    with pytest.raises(RuntimeError), whole_file(str(tmp_path / 'a.txt')) as partial:
        partial.write_text('half')
        raise RuntimeError
    assert (tmp_path / 'a.txt').read_text() == 'old'
