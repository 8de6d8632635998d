import cv2
import numpy as np
import pytest

from bana_mm.labels.item import read_rgb


def test_images_are_read_as_rgb(tmp_path):
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[..., 0] = 200  # blue in OpenCV's order
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    assert read_rgb(str(tmp_path / 'a.png'))[0, 0].tolist() == [0, 0, 200]


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / 'a.jpg').write_text('text')
    with pytest.raises(ValueError, match='a.jpg: image cannot be read'):
        read_rgb(str(tmp_path / 'a.jpg'))
    with pytest.raises(FileNotFoundError, match='b.jpg'):
        read_rgb(str(tmp_path / 'b.jpg'))
