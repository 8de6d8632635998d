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
