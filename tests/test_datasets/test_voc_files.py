"""Files of VOC's layout: what is written, and one error for each kind of bad file."""

import pytest

from bana_mm.datasets.voc_files import image_size, read_ids, write_ids, write_voc_xml


def test_lists_round_trip(tmp_path):
    write_ids(tmp_path / 'a.txt', ['2007_000032', 'b'])
    assert (tmp_path / 'a.txt').read_text() == '2007_000032\nb\n'
    assert read_ids(tmp_path / 'a.txt') == ['2007_000032', 'b']
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


@pytest.mark.parametrize(
    'text, message',
    [
        ('a\nb\na\n', "a.txt: 'a' is there twice"),
        ('/JPEGImages/a.jpg /SegmentationClassAug/a.png\n', 'a.txt: .* is no image id'),
        ('a 1\n', "a.txt: 'a 1' is no image id"),
        (' \n', 'a.txt: lists no image'),
    ],
)
def test_bad_lists(tmp_path, text, message):
    (tmp_path / 'a.txt').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_ids(tmp_path / 'a.txt')


def test_names_with_white_space_and_folders(tmp_path):
    """Cameras and phones name images so; whether a line is one is known where the files are."""
    (tmp_path / 'a.txt').write_text('IMG 20200101 (1)\r\nfold1/001\n', newline='')
    assert read_ids(tmp_path / 'a.txt') == ['IMG 20200101 (1)', 'fold1/001']
    assert read_ids(tmp_path / 'a.txt', {'IMG 20200101 (1)', 'fold1/001'}.__contains__)[0] == 'IMG 20200101 (1)'
    with pytest.raises(ValueError, match="'fold1/001' is no image id"):
        read_ids(tmp_path / 'a.txt', {'IMG 20200101 (1)'}.__contains__)
    (tmp_path / 'a.txt').write_text('a 1\n')  # as in VOC's lists of a class, unless there is such a file
    assert read_ids(tmp_path / 'a.txt', {'a 1'}.__contains__) == ['a 1']


@pytest.mark.parametrize('line', ['../a', 'fold1/../../a', '/a', 'a\0', 'fold1//a'])
def test_ids_stay_below_their_folder(tmp_path, line):
    (tmp_path / 'a.txt').write_text(f'{line}\n')
    for exists in (None, lambda name: True):
        with pytest.raises(ValueError, match=r'a\.txt: .*is (no image id|no text)'):
            read_ids(tmp_path / 'a.txt', exists)


def test_lists_saved_by_other_programs(tmp_path):
    (tmp_path / 'a.txt').write_text('a\nb\n', encoding='utf-8-sig')
    assert read_ids(tmp_path / 'a.txt') == ['a', 'b']
    (tmp_path / 'a.txt').write_text('a\nb\n', encoding='utf-16')
    with pytest.raises(ValueError, match=r'a\.txt: is no text in UTF-8 .*save as UTF-8'):
        read_ids(tmp_path / 'a.txt')


def test_xml_is_one_based_and_inclusive(tmp_path):
    write_voc_xml(tmp_path / 'a.xml', 'a.jpg', (10, 20), [('R&D', (0, 1, 20, 10)), ('cat', (3, 4, 4, 5))])
    text = ''.join((tmp_path / 'a.xml').read_text().split())
    assert '<filename>a.jpg</filename>' in text
    assert '<size><width>20</width><height>10</height><depth>3</depth></size>' in text
    assert '<name>R&amp;D</name>' in text
    assert '<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>10</ymax></bndbox>' in text
    assert '<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>' in text
    assert [path.name for path in tmp_path.iterdir()] == ['a.xml']


def test_bad_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='a.jpg: image is missing'):
        image_size(tmp_path / 'a.jpg')
    (tmp_path / 'a.jpg').write_text('no image')
    with pytest.raises(ValueError, match='a.jpg: image cannot be read'):
        image_size(tmp_path / 'a.jpg')
