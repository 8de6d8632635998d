"""Sizes of images before they are decoded."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bana_mm.utils import image_files
from bana_mm.utils.image_files import check_image_file, check_image_size, image_size, read_header


def save_turned(path, size, orientation):
    """An image of ``size`` (height, width) as stored, with an EXIF orientation."""
    image = Image.new('RGB', size[::-1])
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def write_bomb(path, height=30_000, width=30_000):
    """A PNG of a few hundred bytes that declares any size."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(b'\0' * 100)) + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation(tmp_path, orientation, suffix):
    path = tmp_path / f'a.{suffix}'
    save_turned(path, (40, 64), orientation)
    header = read_header(path)
    assert header == ((40, 64), orientation)
    assert image_size(path) == header.shown == ((64, 40) if orientation >= 5 else (40, 64))
    assert header.is_told_by_size == (orientation in (1, 5, 6, 7, 8))
    save_turned(path, (40, 40), orientation)
    assert read_header(path).is_told_by_size == (orientation == 1)


def test_sizes_are_compared(tmp_path):
    path = tmp_path / 'a.jpg'
    save_turned(path, (40, 64), 6)
    check_image_size(path, (64, 40, 3), (64, 40))
    with pytest.raises(ValueError, match=r'a\.jpg: .* 64 x 40, but .* 40 x 64: it is turned by its EXIF orientation'):
        check_image_size(path, (64, 40), (40, 64))
    with pytest.raises(ValueError, match=r'a\.jpg: .* 64 x 40, but .* 64 x 41; correct'):
        check_image_size(path, (64, 40), (64, 41))


@pytest.mark.parametrize('kind', ['declared', 'above ours', 'above the limit of Pillow'])
def test_huge_images_are_refused_by_their_head(tmp_path, monkeypatch, kind):
    path = tmp_path / 'a.png'
    write_bomb(path)
    if kind == 'above ours':
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
    elif kind == 'above the limit of Pillow':
        monkeypatch.setattr(image_files, 'MAX_PIXELS', 10**12)
    with pytest.raises(ValueError, match=r'a\.png: the file declares .* pixels, of which at most'):
        image_size(path)


def test_broken_files(tmp_path):
    path = tmp_path / 'a.jpg'
    with pytest.raises(FileNotFoundError, match=r'a\.jpg: image is missing'):
        image_size(path)
    for content in (b'', b'no image', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'a\.jpg: image cannot be read'):
            image_size(path)


def test_cut_off(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)).save(path)
    assert check_image_file(path).stored == (40, 64)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r'a\.jpg: the image is cut off'):
        check_image_file(path)
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.png')
    assert check_image_file(tmp_path / 'a.png').stored == (4, 4)
