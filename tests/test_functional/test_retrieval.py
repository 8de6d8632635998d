import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import Upsampling, correlation_maps, image_attention, region_prototypes, retrieval_scores

GRID, SIZE = (6, 8), (41, 57)


@pytest.fixture
def feats():
    return torch.rand(16, *GRID, generator=torch.Generator().manual_seed(3), dtype=torch.float64) - 0.2


@pytest.fixture
def large(feats):
    """What the functions never build: the features at image size."""
    return F.interpolate(feats[None], SIZE, mode='bilinear', align_corners=True)[0]


@pytest.fixture
def upsampling():
    return Upsampling(GRID, SIZE, dtype=torch.float64)


@pytest.fixture
def background():
    mask = torch.ones(SIZE, dtype=torch.bool)
    mask[5:33, 11:50] = False
    return mask


def exact(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-9, rtol=0)


def test_region_prototypes(feats, large, upsampling):
    level = torch.tensor([0.3, 0.9, 1.1])[:, None, None]
    masks = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1)) > level
    prototypes, found = region_prototypes(feats, masks, upsampling)
    assert found.tolist() == [True, True, False]
    exact(prototypes[0], large[:, masks[0]].mean(dim=1))
    exact(prototypes[1], large[:, masks[1]].mean(dim=1))
    assert (prototypes[2] == 0).all()


def test_one_pixel_prototype_is_the_feature_there(feats, large, upsampling):
    mask = torch.zeros(1, *SIZE, dtype=torch.bool)
    mask[0, 17, 23] = True
    exact(region_prototypes(feats, mask, upsampling)[0][0], large[:, 17, 23])


def test_correlation_maps(feats, large, upsampling):
    prototypes = torch.randn(4, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    prototypes[3] = 0
    expected = F.cosine_similarity(large[None], prototypes[:, :, None, None], dim=1)
    exact(correlation_maps(feats, prototypes, upsampling), expected)
    exact(correlation_maps(feats, prototypes, upsampling, norm=large.norm(dim=0)), expected)


def test_correlation_stays_in_range_in_float32(feats):
    feats = feats.float()
    maps = correlation_maps(feats, feats.flatten(1).T, Upsampling(GRID, GRID))
    assert maps.max() <= 1 and maps.min() >= -1
    torch.testing.assert_close(maps.flatten(1).diagonal(), torch.ones(48))


def test_attention_of_one_query(feats, large, upsampling, background):
    query = large[:, background].mean(dim=1)
    expected = F.cosine_similarity(large, query[:, None, None], dim=0).relu()
    exact(image_attention(feats, background, upsampling), expected)


def test_attention_of_a_grid_of_queries(feats, large, upsampling, background):
    """41 rows fall into cells of 14, 14, 13 rows and 57 columns into cells of 19; the middle cell is all box."""
    background[14:28, 19:38] = False
    expected, queries = torch.zeros(SIZE, dtype=torch.float64), 0
    for y1, y2 in ((0, 14), (14, 28), (28, 41)):
        for x1, x2 in ((0, 19), (19, 38), (38, 57)):
            inside = background[y1:y2, x1:x2]
            if inside.any():
                query = large[:, y1:y2, x1:x2][:, inside].mean(dim=1)
                expected += F.cosine_similarity(large, query[:, None, None], dim=0).relu()
                queries += 1
    assert queries == 8
    exact(image_attention(feats, background, upsampling, grid_size=3), expected / 8)


def test_attention_without_background_is_zero(feats, upsampling, background):
    assert (image_attention(feats, torch.zeros_like(background), upsampling) == 0).all()


def test_attention_of_one_cell_is_one_everywhere(background):
    attention = image_attention(torch.rand(5, 1, 1) + 0.1, background, Upsampling((1, 1), SIZE))
    torch.testing.assert_close(attention, torch.ones(SIZE))


def test_retrieval_scores(feats, large, upsampling, background):
    """Class 1 has pixels and takes their mean; class 2 has none and takes its classifier weight."""
    masks = torch.stack([background, ~background, torch.zeros_like(background)])
    weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    prototypes = torch.stack([large[:, background].mean(1), large[:, ~background].mean(1), weight[2]])
    expected = F.cosine_similarity(large[None], prototypes[:, :, None, None], dim=1).relu()
    exact(retrieval_scores(feats, masks, weight, upsampling), expected)
