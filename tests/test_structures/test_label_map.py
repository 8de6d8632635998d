import numpy as np
import pytest

from bana_mm.structures import agree, reliable_region


def test_agree_by_hand():
    first = np.array([[0, 1, 1, 2, 255, 255]], dtype=np.uint8)
    second = np.array([[0, 1, 0, 1, 255, 1]], dtype=np.uint8)
    merged, reliable = agree(first, second)
    assert merged.dtype == np.uint8
    assert merged.tolist() == [[0, 1, 255, 255, 255, 255]]
    assert reliable.tolist() == [[True, True, False, False, False, False]]
    swapped, _ = agree(second, first)
    assert np.array_equal(swapped, merged)


def test_three_maps_must_all_agree():
    first, second, third = np.array([[1, 1, 1, 0]], np.uint8), np.array([[1, 1, 2, 0]]), np.array([[1, 2, 2, 0]])
    assert reliable_region(first, second, third).tolist() == [[True, False, False, True]]
    assert agree(first, second, third)[0].tolist() == [[1, 255, 255, 0]]


def test_one_map_is_reliable_where_not_ignored():
    assert reliable_region(np.array([[0, 3, 255]], np.uint8)).tolist() == [[True, True, False]]


def test_agree_refuses_two_sizes():
    with pytest.raises(ValueError, match=r'\(2, 3\) and \(3, 2\)'):
        agree(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
