import pytest

from bana_mm.utils.safe_id import safe_id, safe_path


@pytest.mark.parametrize('name', ['2007_000032', 'fold1/001', 'IMG 20200101 (1)', 'größe', 'a.b..c', '12', 'a' * 240])
def test_names_of_files_below_a_folder(name):
    assert safe_id(name) == safe_path(name) == name


@pytest.mark.parametrize(
    'name, message',
    [
        ('', 'is no name'),
        ('/etc/passwd', 'absolute'),
        ('\\\\server\\share', 'absolute'),
        ('..', r"part '\.\.'"),
        ('../a', r"part '\.\.'"),
        ('a/../../b', r"part '\.\.'"),
        ('..\\a', r"part '\.\.'"),
        ('./a', r"part '\.'"),
        ('a//b', "part ''"),
        ('a/', "part ''"),
        ('a\0b', 'character'),
        ('a\nb', 'character'),
        ('\ud800', 'character'),
        ('a' * 241, '240 bytes'),
        ('ä' * 121, '240 bytes'),
    ],
)
def test_refused(name, message):
    with pytest.raises(ValueError, match=message):
        safe_id(name)


def test_paths_may_be_written_in_other_ways():
    assert safe_path('./train/a.jpg') == safe_path('train//a.jpg') == safe_path('train/x/../a.jpg') == 'train/a.jpg'
    for path in ('', '.', '../a.jpg', 'train/../../a.jpg', '/a.jpg', './../a.jpg'):
        with pytest.raises(ValueError, match=r'is no name|part|absolute'):
            safe_path(path)
