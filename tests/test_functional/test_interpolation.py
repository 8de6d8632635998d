import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import Upsampling, interpolation_matrix

GRIDS = [((5, 7), (33, 50)), ((1, 1), (4, 6)), ((1, 3), (5, 9)), ((4, 1), (9, 1)), ((6, 6), (6, 6)), ((7, 9), (4, 5))]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_matrix_by_hand():
    half = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    torch.testing.assert_close(interpolation_matrix(3, 5), torch.tensor(half))
    torch.testing.assert_close(
        interpolation_matrix(2, 4, align_corners=False), torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    )
    assert interpolation_matrix(1, 3).tolist() == [[1], [1], [1]]
    assert interpolation_matrix(3, 1).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('grid, size', GRIDS)
def test_same_as_torch_interpolate(grid, size, align_corners):
    maps = random(3, *grid)
    expected = F.interpolate(maps[None], size, mode='bilinear', align_corners=align_corners)[0]
    upsampling = Upsampling(grid, size, align_corners, torch.float64)
    torch.testing.assert_close(upsampling(maps), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize('grid, size', GRIDS)
def test_adjoint(grid, size):
    upsampling = Upsampling(grid, size, dtype=torch.float64)
    small, large = random(2, *grid), random(2, *size, seed=1)
    torch.testing.assert_close((upsampling(small) * large).sum(), (small * upsampling.adjoint(large)).sum())
    torch.testing.assert_close(upsampling.adjoint(large).sum((1, 2)), large.sum((1, 2)))


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('grid, size', GRIDS)
def test_norm_is_that_of_the_image_size_features(grid, size, align_corners):
    feats = random(11, *grid)
    expected = F.interpolate(feats[None], size, mode='bilinear', align_corners=align_corners)[0].norm(dim=0)
    norm = Upsampling(grid, size, align_corners, torch.float64).norm(feats)
    torch.testing.assert_close(norm, expected, atol=1e-9, rtol=0)


def test_norm_of_cancelling_and_dead_features_is_not_nan():
    feats = torch.tensor([[[1.0, -1.0, 0.0, 0.0]]]).repeat(64, 1, 1)  # the upsampled feature is 0 half way
    norm = Upsampling((1, 4), (1, 7)).norm(feats)
    torch.testing.assert_close(norm[0], torch.tensor([8.0, 0.0, 8.0, 4.0, 0.0, 0.0, 0.0]))
