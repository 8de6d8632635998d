"""Hybrid pyramid pooling against values worked out by hand, and against loops over windows and boxes."""

import math

import pytest
import torch

from bana_mm.functional import background_aware_pool, hybrid_box_pool, hybrid_pyramid_pool, roi_cells


def numbered(size):
    return torch.arange(size * size, dtype=torch.float64).view(1, 1, size, size)


@pytest.mark.parametrize('size, adaptive, exact', [(4, 9.5, 9.5), (5, 16.2, 14.4), (6, 23.1, 22.4)])
def test_numbered_maps(size, adaptive, exact):
    assert hybrid_pyramid_pool(numbered(size)).item() == pytest.approx(adaptive)
    assert hybrid_pyramid_pool(numbered(size), exact=True).item() == pytest.approx(exact)


def test_maps_smaller_than_the_finest_level():
    assert hybrid_pyramid_pool(numbered(3)).item() == pytest.approx(5.4)
    assert hybrid_pyramid_pool(numbered(1)).item() == 0
    with pytest.raises(ValueError, match='at least 4 x 4 cells .* got 3 x 3; exact=False'):
        hybrid_pyramid_pool(numbered(3), exact=True)


def slow_pool(values, levels, gamma):
    """One map, (h, w), window by window."""
    height, width = values.shape
    total = gamma * values.mean()
    for r in levels:
        windows = [
            values[i * height // r : -(-(i + 1) * height // r), j * width // r : -(-(j + 1) * width // r)].max()
            for i in range(r)
            for j in range(r)
        ]
        total = total + sum(windows) / r**2
    return total / (gamma + len(levels))


@pytest.mark.parametrize('size', [(8, 12), (7, 5), (3, 11), (1, 2)])
@pytest.mark.parametrize('levels', [(1, 2, 4), (1, 2, 3), (5,)])
def test_any_size_and_levels(size, levels):
    feats = torch.rand(2, 3, *size, dtype=torch.float64)
    pooled = hybrid_pyramid_pool(feats, levels, gamma=1.5)
    expected = torch.stack([torch.stack([slow_pool(m, levels, 1.5) for m in maps]) for maps in feats])
    torch.testing.assert_close(pooled, expected)


def test_constant_map_and_limit_of_a_heavy_average():
    torch.testing.assert_close(hybrid_pyramid_pool(torch.full((1, 2, 5, 7), 3.0)), torch.full((1, 2), 3.0))
    feats = torch.rand(1, 2, 6, 6)
    torch.testing.assert_close(hybrid_pyramid_pool(feats, gamma=1e6), feats.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('levels', [(), (0, 2)])
def test_bad_levels(levels):
    with pytest.raises(ValueError, match='levels must be'):
        hybrid_pyramid_pool(torch.rand(1, 1, 4, 4), levels)


@pytest.mark.parametrize('align_corners', [True, False])
def test_cells_of_boxes(align_corners):
    stride, size = 8, (9, 11)
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(50, 2, 2, generator=generator) * torch.tensor([88.0, 72])
    rois = torch.cat([torch.zeros(50, 1), corners.amin(1), corners.amax(1)], dim=1)
    rois = torch.cat([rois, torch.tensor([[0.0, 0, 0, 88, 72], [0, 100, 90, 120, 95], [0, 1, 1, 1, 1]])])
    for (_, x1, y1, x2, y2), cells in zip(rois.tolist(), roi_cells(rois, size, 1 / stride, align_corners).tolist()):
        for low, high, length, start, stop in ((x1, x2, 11, cells[0], cells[2]), (y1, y2, 9, cells[1], cells[3])):
            centres = [stride * i + (0.5 if align_corners else stride / 2) for i in range(length)]
            inside = [i for i, centre in enumerate(centres) if low <= centre < high]
            if not inside:
                middle = (low + high) / 2
                distance = [abs(centre - middle) for centre in centres]
                assert stop == start + 1 and distance[start] == pytest.approx(min(distance), abs=1e-4)
            else:
                assert list(range(start, stop)) == inside


def test_whole_image_without_attention_is_the_pooled_image():
    feats = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    rois = torch.tensor([[1, 0, 0, 81, 65], [0, 0, 0, 81, 65]], dtype=torch.float64)  # the outer cells' pixels
    average = feats.mean(dim=(2, 3)).flip(0)[..., None, None]
    pooled = hybrid_box_pool(feats, rois, None, 1 / 8, average=average)
    torch.testing.assert_close(pooled[..., 0, 0], hybrid_pyramid_pool(feats).flip(0))


def test_boxes_with_attention_bin_by_bin():
    feats, attention = torch.rand(2, 3, 9, 11, dtype=torch.float64), torch.rand(2, 1, 9, 11, dtype=torch.float64)
    rois = torch.tensor([[1, 10, 6, 70, 62], [0, 0, 20, 33, 50], [1, 40, 40, 41, 41]], dtype=torch.float64)
    pooled = hybrid_box_pool(feats, rois, attention, 1 / 8, output_size=2)
    average = background_aware_pool(feats, rois, attention, 1 / 8, 2)
    weighted = (1 - attention) * feats
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        for i in range(2):
            for j in range(2):
                left, top = x1 + j * (x2 - x1) / 2, y1 + i * (y2 - y1) / 2
                first = [math.ceil((edge - 0.5) / 8) for edge in (left, top)]
                last = [math.ceil((edge - 0.5) / 8) for edge in (left + (x2 - x1) / 2, top + (y2 - y1) / 2)]
                if k == 2:  # one pixel, whose nearest cell is the one at pixel 40
                    first, last = [5, 5], [6, 6]
                for d in range(3):
                    part = weighted[int(image), d, first[1] : last[1], first[0] : last[0]]
                    maxima = slow_pool(part, (1, 2, 4), 0.0) * 3
                    expected = (maxima + 2 * average[k, d, i, j]) / 5
                    torch.testing.assert_close(pooled[k, d, i, j], expected)


def test_degenerate_boxes_have_finite_gradients():
    feats = torch.rand(2, 3, 5, 5, requires_grad=True)
    rois = torch.tensor([[0.0, 8, 8, 30, 30]])
    all_background = hybrid_box_pool(feats, rois, torch.ones(2, 1, 5, 5), 1 / 8)
    assert (all_background == 0).all()
    none = hybrid_box_pool(feats, rois[:0], None, 1 / 8, 2)
    assert none.shape == (0, 3, 2, 2)
    (all_background.sum() + none.sum() + hybrid_box_pool(feats, rois, None, 1 / 8).sum()).backward()
    assert feats.grad.isfinite().all()


def test_gradients():
    feats = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(hybrid_pyramid_pool, (feats,))
    attention = torch.rand(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 3, 2, 40, 33]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f, a: hybrid_box_pool(f, rois, a, 1 / 8, 2), (feats, attention))
