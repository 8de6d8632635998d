import numpy as np
import pytest

from bana_mm.structures import agree, reliable_region, vote


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


def test_vote_by_hand():
    maps = [[1, 1, 1, 0, 255, 1, 2], [1, 2, 0, 0, 255, 255, 3], [2, 2, 2, 0, 255, 1, 3]]
    merged, decided = vote(*(np.array([one], np.uint8) for one in maps))
    assert merged.dtype == np.uint8
    assert merged.tolist() == [[1, 2, 255, 0, 255, 1, 3]]
    assert decided.tolist() == [[True, True, False, True, False, True, True]]
    merged, decided = vote(*(np.array([one], np.uint8) for one in maps), undecided='first')
    assert merged.tolist() == [[1, 2, 1, 0, 255, 1, 3]]
    assert decided.tolist() == [[True, True, False, True, False, True, True]]


def test_half_is_no_majority():
    maps = [np.array([[one]], np.uint8) for one in (1, 1, 2, 2)]
    assert vote(*maps)[0].tolist() == [[255]] and vote(*maps[:3])[0].tolist() == [[1]]
    assert vote(*maps[1:])[0].tolist() == [[2]]
    # an ignored pixel is a vote against each class
    assert vote(maps[0], np.array([[255]], np.uint8))[0].tolist() == [[255]]


def test_vote_of_one_and_of_two():
    first, second = np.array([[0, 3, 255, 1]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)
    assert vote(first)[0].tolist() == first.tolist()
    for undecided in (dict(), dict(undecided='first')):
        merged, decided = vote(first, second, **undecided)
        assert np.array_equal(decided, agree(first, second)[1])
    assert np.array_equal(vote(first, second)[0], agree(first, second)[0])


def test_vote_matches_counting():
    maps = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (5, 6, 7))
    merged, decided = vote(*maps)
    for y, x in np.ndindex(6, 7):
        votes = {c: (maps[:, y, x] == c).sum() for c in (0, 1, 2)}
        best = max(votes, key=votes.get)
        assert merged[y, x] == (best if votes[best] >= 3 else 255)
        assert decided[y, x] == (votes[best] >= 3)


def test_vote_refuses():
    with pytest.raises(ValueError, match=r'\(2, 3\) and \(3, 2\)'):
        vote(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="one of ignore, first, got 'last'"):
        vote(np.zeros((2, 3), np.uint8), undecided='last')
