"""A picture with a disc, and the tiny classifier of the tests of labels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from test_labels.conftest import fresh_networks, tiny  # noqa: F401  # fixtures


@pytest.fixture(scope='session')
def picture() -> np.ndarray:
    """(60, 80, 3) uint8 RGB: a red disc, 14 pixels around column 40 and row 30, on noisy green."""
    image = np.full((60, 80, 3), (40, 160, 60), dtype=np.uint8)
    cv2.circle(image, (40, 30), 14, (200, 50, 40), -1)
    return (image + np.random.default_rng(0).integers(0, 20, image.shape)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    """A folder with the picture, ``disc.png``, and the right half of it, ``sub/half.png``."""
    (tmp_path / 'sub').mkdir()
    Image.fromarray(picture).save(tmp_path / 'disc.png')
    Image.fromarray(picture[:, 40:]).save(tmp_path / 'sub/half.png')
    return tmp_path
