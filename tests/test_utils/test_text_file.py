import pytest

from bana_mm.utils.text_file import read_text


@pytest.mark.parametrize('content', [b'a\nb\n', b'a\r\nb\r\n', b'a\rb\r', b'\xef\xbb\xbfa\nb\n'])
def test_marks_and_line_ends_do_not_matter(tmp_path, content):
    (tmp_path / 'a.txt').write_bytes(content)
    assert read_text(tmp_path / 'a.txt') == 'a\nb\n'


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'latin-1'])
def test_other_encodings_are_named(tmp_path, encoding):
    (tmp_path / 'a.txt').write_bytes('ä\nb\n'.encode(encoding))
    with pytest.raises(ValueError, match=r'a\.txt: is no text in UTF-8 .*; save as UTF-8'):
        read_text(tmp_path / 'a.txt')
