import numpy as np
import pytest

from bana_mm.visualization import heat_map, label_overlay
from bana_mm.visualization.confidence_strip import confidence_strip
from bana_mm.visualization.panels import GAP, STRIP


def test_columns_and_what_is_white():
    image = np.full((20, 200, 3), 90, np.uint8)
    y_crf = np.zeros((20, 200), np.uint8)
    y_crf[:, :40], y_crf[:, 40:50] = 1, 255
    y_ret = np.roll(y_crf, 20, axis=1)
    reliable = (y_crf == y_ret) & (y_crf != 255)
    sigma = np.linspace(0, 1, 200)[None].repeat(20, axis=0)
    strip = confidence_strip(
        image,
        ['cat'],
        dict(Y_crf=y_crf, Y_ret=y_ret),
        reliable,
        dict(first=sigma, last=sigma),
        ground_truth=y_crf,
        height=20,
    )
    assert strip.shape[1] == 7 * (200 + GAP) + GAP
    cells = [strip[STRIP : STRIP + 20, GAP + i * (200 + GAP) :][:, :200] for i in range(7)]
    assert (cells[0] == image).all()
    assert (cells[1] == label_overlay(image, y_crf)).all() and (cells[2] == label_overlay(image, y_ret)).all()
    expected = label_overlay(image, np.where(reliable, y_crf, 255).astype(np.uint8))
    assert (cells[3] == expected).all() and (expected != cells[1]).any()
    assert (cells[4] == cells[1]).all()
    heat = heat_map(image, sigma)
    heat[:, 40:50] = 255
    assert (cells[5] == heat).all() and (cells[6] == heat).all()


def test_less_columns():
    image, label = np.zeros((20, 200, 3), np.uint8), np.zeros((20, 200), np.uint8)
    assert confidence_strip(image, ['cat'], dict(label=label), None, {}, height=40).shape[1] == 2 * (400 + GAP) + GAP


def test_another_size():
    image, label = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31), np.uint8)
    with pytest.raises(ValueError, match=r'label has shape \(20, 31\)'):
        confidence_strip(image, ['cat'], dict(label=label), None, {})
