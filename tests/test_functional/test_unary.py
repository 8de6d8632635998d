import math

import pytest
import torch

from bana_mm.functional import (
    background_activation_score,
    background_score,
    class_regions,
    class_scores,
    label_rows,
    unary_probability,
)


def boxes(*corners):
    return torch.tensor(corners, dtype=torch.long).reshape(-1, 4)


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), atol=1e-5, rtol=0)


def test_class_regions():
    regions = class_regions(boxes([0, 0, 1, 2], [2, 1, 3, 2], [1, 0, 2, 1]), [0, 1, 0], 2, (2, 3))
    assert regions.int().tolist() == [[[1, 1, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 1]]]
    assert class_regions(boxes(), [], 0, (2, 3)).shape == (0, 2, 3)


def test_scores_are_normalised_in_each_box():
    cam = torch.tensor([[[8., 2., 4., 0., 1., 2.]]])
    scores, unseen = class_scores(cam, boxes([1, 0, 3, 1], [4, 0, 6, 1]), [0, 0], torch.ones(1, 6))
    close(scores, [[[0, .5, 1, 0, .5, 1]]])
    assert unseen.tolist() == [False, False]


def test_scores_are_normalised_in_the_image():
    cam = torch.tensor([[[8., 2., 4., 0., 1., 2.]]])
    scores, _ = class_scores(cam, boxes([1, 0, 3, 1], [4, 0, 6, 1]), [0, 0], torch.ones(1, 6), normalise='image')
    close(scores, [[[0, .25, .5, 0, .125, .25]]])
    with pytest.raises(ValueError, match='class'):
        class_scores(cam, boxes([1, 0, 3, 1]), [0], torch.ones(1, 6), normalise='class')


def test_overlapping_boxes_of_one_class_take_the_larger_score_in_any_order():
    cam = torch.tensor([[[4., 1., 2., 1.]]])
    one, other = [0, 0, 3, 1], [1, 0, 4, 1]
    for pair in ((one, other), (other, one)):
        scores, _ = class_scores(cam, boxes(*pair), [0, 0], torch.ones(1, 4))
        close(scores, [[[1, .5, 1, .5]]])  # the first box divides by 4, the second by 2


def test_classes_do_not_share_boxes():
    cam = torch.tensor([[[1., 2., 4.]], [[5., 5., 10.]]])
    scores, _ = class_scores(cam, boxes([0, 0, 2, 1], [1, 0, 3, 1]), [0, 1], torch.ones(1, 3))
    close(scores, [[[.5, 1, 0]], [[0, .5, 1]]])


@pytest.mark.parametrize('normalise', ['box', 'image'])
def test_empty_cam_falls_back_to_unseen_in_its_own_box_only(normalise):
    cam = torch.tensor([[[0., 0., 0., 0., 3.]]])
    unseen = torch.tensor([[.1, .4, .2, .8, .8]])
    scores, is_unseen = class_scores(cam, boxes([0, 0, 3, 1], [3, 0, 5, 1]), [0, 0], unseen, normalise)
    close(scores, [[[.25, 1, .5, 0, 1]]])
    assert is_unseen.tolist() == [True, False]


@pytest.mark.parametrize('noise', [0., 1e-8])
def test_empty_cam_where_all_looks_like_background_takes_the_whole_box(noise):
    unseen = torch.tensor([[noise, 0., 0.]])
    scores, _ = class_scores(torch.zeros(1, 1, 3), boxes([0, 0, 2, 1]), [0], unseen)
    torch.testing.assert_close(scores, torch.tensor([[[1., 1., 0.]]]), atol=0.01, rtol=0)


def test_background_score_thresholds():
    attention = torch.tensor([[.4, .495, .5, .1]])
    close(background_score(attention), [[0, .495, .5, 0]])  # at least 0.99 * 0.5
    close(background_score(attention, 0.2, relative=False), [[.4, .495, .5, 0]])
    close(background_score(attention, 0.99, relative=False), [[0, 0, 0, 0]])
    close(background_score(attention, None), attention)
    close(background_score(torch.zeros(2, 2)), torch.zeros(2, 2))


def test_background_activation_score():
    close(background_activation_score(torch.tensor([[0., 1., 4.]])), [[0, .25, 1]])
    close(background_activation_score(torch.zeros(1, 3)), torch.zeros(1, 3))


def test_probability_inside_and_outside():
    background = torch.tensor([[.9, .5, 0.]])
    scores = torch.tensor([[[0., 1., 0.]], [[0., 0., 0.]]])
    regions = torch.tensor([[[False, True, True]], [[False, False, False]]])
    probability = unary_probability(background, scores, regions)
    e = math.exp
    total = e(.5) + e(1) + 1  # the second class takes part with u = 0
    close(probability[:, 0, 0], [1, 0, 0])
    close(probability[:, 0, 1], [e(.5) / total, e(1) / total, 1 / total])
    close(probability[:, 0, 2], [1 / 3, 1 / 3, 1 / 3])


def test_probability_with_temperature_and_without_softmax():
    background, scores = torch.tensor([[.5, 0.]]), torch.tensor([[[1., 0.]]])
    regions = torch.ones(1, 1, 2, dtype=torch.bool)
    warm = unary_probability(background, scores, regions, temperature=0.5)
    close(warm[0, 0, 0], 1 / (1 + math.exp(1)))
    plain = unary_probability(background, scores, regions, temperature=None)
    close(plain[:, 0, 0], [1 / 3, 2 / 3])
    close(plain[:, 0, 1], [.5, .5])


def test_nothing_is_known_in_ignored_boxes_only():
    regions = torch.tensor([[[False, True, False]]])
    unknown = torch.tensor([[True, True, False]])
    probability = unary_probability(torch.zeros(1, 3), torch.ones(1, 1, 3), regions, unknown)
    close(probability[0], [[.5, 1 / (1 + math.e), 1]])


def test_label_rows():
    scores = torch.tensor([[[.1, .2, .3, .4]], [[.9, .9, .1, .4]], [[.5, .8, .2, .4]]])
    regions = torch.tensor([[[False, True, True, True]], [[True, True, True, True]]])
    assert label_rows(scores, regions).tolist() == [[2, 1, 0, 0]]


def test_label_rows_is_the_argmax_of_masked_scores():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (6, 20, 20), generator=generator)  # with many ties
    regions = torch.rand(5, 20, 20, generator=generator) > 0.4
    assert (label_rows(scores, regions) == torch.cat([scores[:1], scores[1:] * regions]).argmax(dim=0)).all()
