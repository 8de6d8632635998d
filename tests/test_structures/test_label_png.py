import numpy as np
import pytest
from PIL import Image

from bana_mm.structures import read_label_png, write_label_png


def test_round_trip_keeps_every_index_and_shows_voc_colours(tmp_path):
    label = np.arange(256, dtype=np.uint8).reshape(8, 32)
    write_label_png(tmp_path / 'a.png', label)
    assert np.array_equal(read_label_png(tmp_path / 'a.png'), label)
    with Image.open(tmp_path / 'a.png') as image:
        assert image.mode == 'P'
        colors = np.array(image.convert('RGB')).reshape(-1, 3)
    # black, maroon, green of VOC's development kit; its void border is (224, 224, 192)
    assert colors[[0, 1, 2, 8, 255]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [64, 0, 0], [224, 224, 192]]
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']  # no temporary file stays


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    old = np.full((4, 5), 3, dtype=np.uint8)
    write_label_png(tmp_path / 'a.png', old)

    def half_a_file(self, path, **kwargs):
        path.write_bytes(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(Image.Image, 'save', half_a_file)
    with pytest.raises(OSError, match='disk full'):
        write_label_png(tmp_path / 'a.png', old + 1)
    assert np.array_equal(read_label_png(tmp_path / 'a.png'), old)


@pytest.mark.parametrize('label', [np.zeros((4, 4), dtype=np.int64), np.zeros((4, 4, 3), dtype=np.uint8)])
def test_write_rejects_other_arrays(tmp_path, label):
    with pytest.raises(ValueError, match=r'a\.png.*uint8'):
        write_label_png(tmp_path / 'a.png', label)


def test_read_accepts_plain_grey(tmp_path):
    label = np.array([[0, 7, 255]], dtype=np.uint8)
    Image.fromarray(label).save(tmp_path / 'grey.png')
    assert np.array_equal(read_label_png(tmp_path / 'grey.png', size=(1, 3), num_classes=7), label)


def test_read_names_file_and_field(tmp_path):
    path = tmp_path / 'a.png'
    with pytest.raises(FileNotFoundError, match=r'a\.png: label map is missing'):
        read_label_png(path)
    write_label_png(path, np.array([[0, 7, 255]], dtype=np.uint8))
    with pytest.raises(ValueError, match=r'a\.png.*1 x 3 \(height x width\).*3 x 1'):
        read_label_png(path, size=(3, 1))
    with pytest.raises(ValueError, match=r'a\.png: label map holds class 7; allowed are 0\.\.6 and 255'):
        read_label_png(path, num_classes=6)
    Image.new('RGB', (3, 1)).save(path)
    with pytest.raises(ValueError, match=r"a\.png.*mode 'RGB'"):
        read_label_png(path)
    path.write_bytes(b'not an image')
    with pytest.raises(ValueError, match=r'a\.png: label map cannot be read'):
        read_label_png(path)


def test_read_truncated_file(tmp_path):
    path = tmp_path / 'a.png'
    write_label_png(path, np.random.default_rng(0).integers(0, 9, (40, 40), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:1100])  # header and palette whole, pixels cut
    with pytest.raises(ValueError, match=r'a\.png: label map cannot be read'):
        read_label_png(path)
