import pytest
import torch

from bana_mm.functional import (
    activation_scores,
    background_activation_score,
    background_score,
    recognised_boxes,
    stretch_in_boxes,
    stretched_background_score,
)


def boxes(*corners):
    return torch.tensor(corners, dtype=torch.long).reshape(-1, 4)


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), atol=1e-5, rtol=0)


def test_scores_are_normalised_in_each_box():
    cam = torch.tensor([[[8.0, 2.0, 4.0, 0.0, 1.0, 2.0]]])
    scores, unseen = activation_scores(cam, boxes([1, 0, 3, 1], [4, 0, 6, 1]), [0, 0], torch.ones(1, 6))
    close(torch.stack(scores), [[[0.5, 1]], [[0.5, 1]]])
    assert unseen.tolist() == [False, False]


def test_scores_are_normalised_in_the_image():
    cam = torch.tensor([[[8.0, 2.0, 4.0, 0.0, 1.0, 2.0]]])
    scores, _ = activation_scores(cam, boxes([1, 0, 3, 1], [4, 0, 6, 1]), [0, 0], torch.ones(1, 6), normalise='image')
    close(torch.stack(scores), [[[0.25, 0.5]], [[0.125, 0.25]]])
    with pytest.raises(ValueError, match='class'):
        activation_scores(cam, boxes([1, 0, 3, 1]), [0], torch.ones(1, 6), normalise='class')


@pytest.mark.parametrize('normalise', ['box', 'image'])
def test_empty_cam_falls_back_to_unseen_in_its_own_box_only(normalise):
    cam = torch.tensor([[[0.0, 0.0, 0.0, 0.0, 3.0]]])
    unseen = torch.tensor([[0.1, 0.4, 0.2, 0.8, 0.8]])
    scores, is_unseen = activation_scores(cam, boxes([0, 0, 3, 1], [3, 0, 5, 1]), [0, 0], unseen, normalise)
    close(scores[0], [[0.25, 1, 0.5]])
    close(scores[1], [[0, 1]])
    assert is_unseen.tolist() == [True, False]


@pytest.mark.parametrize('normalise', ['box', 'image'])
def test_empty_cam_may_stay_empty(normalise):
    cam = torch.tensor([[[0.0, 0.0, 0.0, 1.0, 4.0]]])
    unseen = torch.tensor([[0.1, 0.4, 0.2, 0.8, 0.8]])
    corners = boxes([0, 0, 3, 1], [2, 0, 5, 1])
    scores, is_unseen = activation_scores(cam, corners, [0, 0], unseen, normalise, empty='zero')
    assert scores[0].tolist() == [[0, 0, 0]] and scores[1].tolist() == [[0, 0.25, 1]]
    assert is_unseen.tolist() == [False, False]
    with pytest.raises(ValueError, match="empty must be 'unseen' or 'zero', got 'none'"):
        activation_scores(cam, corners, [0, 0], unseen, empty='none')


@pytest.mark.parametrize('noise', [0.0, 1e-8])
def test_empty_cam_where_all_looks_like_background_takes_the_whole_box(noise):
    unseen = torch.tensor([[noise, 0.0, 0.0]])
    scores, _ = activation_scores(torch.zeros(1, 1, 3), boxes([0, 0, 2, 1]), [0], unseen)
    torch.testing.assert_close(scores[0], torch.tensor([[1.0, 1.0]]), atol=0.01, rtol=0)


def test_maps_are_stretched_in_each_box():
    attention = torch.tensor([[0.2, 0.6, 0.4, 0.5], [0.9, 0.3, 0.3, 0.3]])
    first, second, flat = stretch_in_boxes(attention, boxes([0, 0, 3, 1], [1, 0, 4, 2], [2, 1, 4, 2]))
    close(first, [[0, 1, 0.5]])
    close(second, [[1, 1 / 3, 2 / 3], [0, 0, 0]])
    close(flat, [[0, 0]])  # nothing in this box looks more like background than the rest


def test_background_from_the_stretch_in_boxes():
    attention = torch.tensor([[0.2, 0.6, 0.4, 0.6, 0.9]])
    # stretched: 0, 1, .5 in the first box; 1, 0, 1 in the second
    score = stretched_background_score(attention, boxes([0, 0, 3, 1], [1, 0, 4, 1]), 0.5)
    assert score.tolist() == [[0, 1, 0, 1, 1]]  # the third pixel is background for the first box only
    assert stretched_background_score(attention, boxes(), 0.5).tolist() == [[1] * 5]
    soft = stretched_background_score(attention, boxes([0, 0, 3, 1], [1, 0, 4, 1]))
    close(soft, [[0, 1, 0, 1, 1]])
    close(stretched_background_score(attention, boxes([0, 0, 4, 1], [2, 0, 5, 1])), [[0, 1, 0, 0.4, 1]])


def test_background_score_thresholds():
    attention = torch.tensor([[0.4, 0.495, 0.5, 0.1]])
    close(background_score(attention), [[0, 0.495, 0.5, 0]])  # at least 0.99 * 0.5
    close(background_score(attention, 0.2, relative=False), [[0.4, 0.495, 0.5, 0]])
    close(background_score(attention, 0.99, relative=False), [[0, 0, 0, 0]])
    close(background_score(attention, None), attention)
    close(background_score(torch.zeros(2, 2)), torch.zeros(2, 2))


def test_background_activation_score():
    close(background_activation_score(torch.tensor([[0.0, 1.0, 4.0]])), [[0, 0.25, 1]])
    close(background_activation_score(torch.zeros(1, 3)), torch.zeros(1, 3))


def test_boxes_are_recognised_by_the_share_in_which_their_class_exceeds_the_background():
    activation = torch.tensor([[[1.0, 1.0, 1.0, 3.0]], [[2.0, 1.0, 2.0, 0.0]], [[0.0, 0.0, 0.0, 9.0]]])
    corners, rows = boxes([0, 0, 4, 1], [0, 0, 3, 1], [0, 0, 4, 1]), [0, 0, 1]  # shares 1/2, 2/3, 1/4
    assert recognised_boxes(activation, corners, rows, 0.5).tolist() == [True, True, False]
    assert recognised_boxes(activation, corners, rows, 0.6).tolist() == [False, True, False]
    assert recognised_boxes(activation, boxes(), [], 0.5).shape == (0,)
