import numpy as np
import pytest

from bana_mm.labels import agree


def test_agree_by_hand():
    first = np.array([[0, 1, 1, 2, 255, 255]], dtype=np.uint8)
    second = np.array([[0, 1, 0, 1, 255, 1]], dtype=np.uint8)
    merged, reliable = agree(first, second)
    assert merged.dtype == np.uint8
    assert merged.tolist() == [[0, 1, 255, 255, 255, 255]]
    assert reliable.tolist() == [[True, True, False, False, False, False]]
    swapped, _ = agree(second, first)
    assert np.array_equal(swapped, merged)


def test_agree_refuses_two_sizes():
    with pytest.raises(ValueError, match=r'\(2, 3\) and \(3, 2\)'):
        agree(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
