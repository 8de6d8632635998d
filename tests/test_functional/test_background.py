"""Eq. 1-3 against loops over cells and queries."""

import pytest
import torch

from bana_mm.functional import background_attention, background_queries
from benchmarks.slow.bap import loop_attention, loop_queries


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(1)
    feats = torch.randn(3, 5, 8, 12, dtype=torch.float64, generator=generator)
    mask = torch.rand(3, 8, 12, generator=generator) > 0.5
    mask[0, :4, :6] = False  # image 0: the first of four cells is invalid
    mask[2] = False  # image 2: no background at all
    return feats, mask


def test_queries_and_attention_against_loops(case):
    feats, mask = case
    queries, valid = background_queries(feats, mask[:, None], 2)
    expected, expected_valid = loop_queries(feats, mask, 2)
    assert valid.tolist() == expected_valid.tolist()
    assert valid[0].tolist() == [False, True, True, True] and not valid[2].any()
    torch.testing.assert_close(queries, expected)
    attention = background_attention(feats, queries, valid)
    torch.testing.assert_close(attention, loop_attention(feats, queries, valid))
    assert attention[2].eq(0).all()


def test_uneven_grids_against_loops():
    feats = torch.rand(1, 3, 11, 14, dtype=torch.float64)  # in 4 cells: one row and two columns are missing
    mask = torch.rand(1, 11, 14) > 0.4
    expected, _ = loop_queries(feats, mask, 4)
    torch.testing.assert_close(background_queries(feats, mask[:, None], 4)[0], expected)


def test_image_mask_is_read_where_the_cells_are_centred():
    # 17 pixels on 3 cells: cells lie on pixels 0, 8 and 16
    feats = torch.arange(3.0).expand(1, 1, 3, 3)
    mask = torch.zeros(1, 1, 17, 17)
    mask[..., 8, 16] = 1
    queries, valid = background_queries(feats, mask, 1)
    assert valid.item() and queries.item() == 2


def test_uneven_grids_split_an_even_remainder_and_put_an_odd_one_last():
    # 6 rows in 4 cells of 2: two rows are missing, one on each side -> rows 0 | 1 2 | 3 4 | 5
    feats = torch.arange(6.0).view(1, 1, 6, 1).expand(1, 1, 6, 4)
    queries, _ = background_queries(feats, torch.ones(1, 1, 6, 4), 4)
    assert queries.view(4, 4)[:, 0].tolist() == [0, 1.5, 3.5, 5]
    # 5 rows in 2 cells of 3: one is missing at the end -> rows 0 1 2 | 3 4
    queries, _ = background_queries(feats[:, :, :5], torch.ones(1, 1, 5, 4), 2)
    assert queries.view(2, 2)[:, 0].tolist() == [1, 3.5]


def test_float_masks_weigh():
    feats = torch.tensor([1.0, 4.0]).view(1, 1, 1, 2)
    queries, _ = background_queries(feats, torch.tensor([1.0, 0.5]).view(1, 1, 1, 2), 1)
    assert queries.item() == pytest.approx(2)


def test_attention_of_the_query_itself_is_one_and_of_its_opposite_zero():
    feats = torch.tensor([[3.0, -3.0, 0.0], [4.0, -4.0, 5.0]]).view(1, 2, 1, 3)
    attention = background_attention(feats, torch.tensor([[[6.0, 8.0]]]), torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(attention.flatten(), torch.tensor([1.0, 0.0, 0.8]))


def test_attention_over_several_queries_by_hand():
    feats = torch.tensor([[3.0, 0.0], [4.0, 2.0]]).view(1, 2, 1, 2)  # (3, 4) and (0, 2)
    queries = torch.tensor([[[2.0, 0.0], [0.0, 7.0], [-1.0, 0.0], [0.0, 1.0]]])
    valid = torch.tensor([[True, True, True, False]])
    # cosines of (3, 4) with the valid ones: 0.6, 0.8 and -0.6, which counts as 0; of (0, 2): 0, 1 and 0
    attention = background_attention(feats, queries, valid)
    torch.testing.assert_close(attention.flatten(), torch.tensor([(0.6 + 0.8) / 3, 1 / 3]))


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    mask = torch.rand(2, 1, 4, 4, generator=generator) > 0.5

    def attention_of(feats):
        queries, valid = background_queries(feats, mask, 2)
        return background_attention(feats, queries, valid), queries

    assert torch.autograd.gradcheck(attention_of, feats)


def test_bad_input_names_the_argument():
    feats = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r'background must have shape \(2, 1, H, W\)'):
        background_queries(feats, torch.zeros(1, 1, 4, 4), 2)
    with pytest.raises(ValueError, match='grid_size'):
        background_queries(feats, torch.zeros(2, 1, 4, 4), 0)
