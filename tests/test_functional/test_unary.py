import math

import pytest
import torch

from bana_mm.functional import class_regions, class_scores, label_rows, unary_probability


def boxes(*corners):
    return torch.tensor(corners, dtype=torch.long).reshape(-1, 4)


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), atol=1e-5, rtol=0)


def test_class_regions():
    regions = class_regions(boxes([0, 0, 1, 2], [2, 1, 3, 2], [1, 0, 2, 1]), [0, 1, 0], 2, (2, 3))
    assert regions.int().tolist() == [[[1, 1, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 1]]]
    assert class_regions(boxes(), [], 0, (2, 3)).shape == (0, 2, 3)


def test_class_scores_take_the_larger_score_where_boxes_of_one_class_overlap():
    one, other = ([0, 0, 3, 1], [[0.25, 1, 0.5]]), ([1, 0, 4, 1], [[0.5, 1, 0.75]])
    for pair in ((one, other), (other, one)):
        corners, scores = boxes(*(box for box, _ in pair)), [torch.tensor(score) for _, score in pair]
        scores = class_scores(scores, corners, [0, 0], 1, (1, 5))
        close(scores, [[[0.25, 1, 1, 0.75, 0]]])


def test_class_scores_of_the_later_box():
    one, other = ([0, 0, 3, 1], [[0.25, 1, 0.5]]), ([1, 0, 4, 1], [[0.5, 0, 0.75]])
    for pair, expected in (((one, other), [0.25, 0.5, 0, 0.75, 0]), ((other, one), [0.25, 1, 0.5, 0.75, 0])):
        corners, scores = boxes(*(box for box, _ in pair)), [torch.tensor(score) for _, score in pair]
        close(class_scores(scores, corners, [0, 0], 1, (1, 5), overlap='later'), [[expected]])
        # boxes of two classes do not meet
        apart = class_scores(scores, corners, [0, 1], 2, (1, 5), overlap='later')
        close(apart, class_scores(scores, corners, [0, 1], 2, (1, 5)))
    with pytest.raises(ValueError, match="overlap must be 'maximum' or 'later', got 'sum'"):
        class_scores([], boxes(), [], 0, (1, 1), overlap='sum')


def test_classes_do_not_share_boxes():
    scores = class_scores(
        [torch.tensor([[0.5, 1]]), torch.tensor([[0.25, 0.75]])], boxes([0, 0, 2, 1], [1, 0, 3, 1]), [0, 1], 2, (1, 3)
    )
    close(scores, [[[0.5, 1, 0]], [[0, 0.25, 0.75]]])
    assert class_scores([], boxes(), [], 0, (2, 3)).shape == (0, 2, 3)


def test_probability_inside_and_outside():
    background = torch.tensor([[0.9, 0.5, 0.0]])
    scores = torch.tensor([[[0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]])
    regions = torch.tensor([[[False, True, True]], [[False, False, False]]])
    probability = unary_probability(background, scores, regions)
    e = math.exp
    total = e(0.5) + e(1) + 1  # the second class takes part with u = 0
    close(probability[:, 0, 0], [1, 0, 0])
    close(probability[:, 0, 1], [e(0.5) / total, e(1) / total, 1 / total])
    close(probability[:, 0, 2], [1 / 3, 1 / 3, 1 / 3])


def test_probability_with_temperature_and_without_softmax():
    background, scores = torch.tensor([[0.5, 0.0]]), torch.tensor([[[1.0, 0.0]]])
    regions = torch.ones(1, 1, 2, dtype=torch.bool)
    warm = unary_probability(background, scores, regions, temperature=0.5)
    close(warm[0, 0, 0], 1 / (1 + math.exp(1)))
    plain = unary_probability(background, scores, regions, temperature=None)
    close(plain[:, 0, 0], [1 / 3, 2 / 3])
    close(plain[:, 0, 1], [0.5, 0.5])


def test_competition_of_the_classes_that_have_a_box_at_the_pixel():
    background = torch.tensor([[0.5, 0.0]])
    scores = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    regions = torch.tensor([[[True, True]], [[False, True]]])
    probability = unary_probability(background, scores, regions, competition='pixel')
    p = 1 / (1 + math.exp(-0.5))
    close(probability, [[[1 - p, 1 / 3]], [[p, 1 / 3]], [[0, 1 / 3]]])
    plain = unary_probability(torch.zeros(1, 2), torch.zeros(2, 1, 2), regions, temperature=None, competition='pixel')
    close(plain, [[[0.5, 1 / 3]], [[0.5, 1 / 3]], [[0, 1 / 3]]])


def test_nothing_is_known_in_ignored_boxes_only():
    regions = torch.tensor([[[False, True, False]]])
    unknown = torch.tensor([[True, True, False]])
    probability = unary_probability(torch.zeros(1, 3), torch.ones(1, 1, 3), regions, unknown)
    close(probability[0], [[0.5, 1 / (1 + math.e), 1]])


def test_label_rows():
    scores = torch.tensor([[[0.1, 0.2, 0.3, 0.4]], [[0.9, 0.9, 0.1, 0.4]], [[0.5, 0.8, 0.2, 0.4]]])
    regions = torch.tensor([[[False, True, True, True]], [[True, True, True, True]]])
    assert label_rows(scores, regions).tolist() == [[2, 1, 0, 0]]


def test_label_rows_is_the_argmax_of_masked_scores():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (6, 20, 20), generator=generator)  # with many ties
    regions = torch.rand(5, 20, 20, generator=generator) > 0.4
    assert (label_rows(scores, regions) == torch.cat([scores[:1], scores[1:] * regions]).argmax(dim=0)).all()
