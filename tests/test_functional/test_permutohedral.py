import itertools
import math

import pytest
import torch

from bana_mm.functional import permutohedral
from bana_mm.functional.permutohedral import PermutohedralLattice


def slow_filter(points, values):
    """Splat, blur and slice with a dict of vertices; the simplex is found by trying nearby ones. Float64."""
    dims = points.shape[0]
    size = dims + 1
    # Columns are an orthogonal basis of the hyperplane, each stretched alike.
    basis = torch.zeros(size, dims, dtype=torch.float64)
    for axis in range(1, size):
        basis[:axis, axis - 1] = 1
        basis[axis, axis - 1] = -axis
    basis = basis / basis.norm(dim=0) * math.sqrt(2 / 3) * size
    table, sites = {}, []
    for elevated in (basis @ points.double()).t().tolist():
        site = _containing_simplex(elevated, size)
        sites.append(site)
        for vertex, _ in site:
            table.setdefault(vertex, torch.zeros(values.shape[1], dtype=torch.float64))
    for site, value in zip(sites, values.double()):
        for vertex, weight in site:
            table[vertex] = table[vertex] + weight * value
    for axis in range(size):
        blurred = {}
        for vertex, value in table.items():
            for sign in (1, -1):
                near = tuple(x + sign * (1 - size * (i == axis)) for i, x in enumerate(vertex))
                value = value + 0.5 * table.get(near, 0)
            blurred[vertex] = value
        table = blurred
    return torch.stack([sum(weight * table[vertex] for vertex, weight in site) for site in sites]) / (1 + 2**-dims)


def _containing_simplex(elevated, size):
    """The vertices and barycentric weights of the one simplex in which all weights are at least 0."""
    ranges = [range(math.floor(x / size) - 1, math.ceil(x / size) + 2) for x in elevated]
    for corner in itertools.product(*ranges):
        if sum(corner):
            continue
        rest = [x - c * size for x, c in zip(elevated, corner)]
        order = sorted(range(size), key=lambda i: -rest[i])
        if rest[order[0]] - rest[order[-1]] > size:
            continue
        vertex, site = [c * size for c in corner], []
        for k in range(size):
            gap = (
                (rest[order[size - 1 - k]] - rest[order[size - k]]) / size
                if k
                else 1 - (rest[order[0]] - rest[order[-1]]) / size
            )
            site.append((tuple(vertex), gap))
            vertex = [x + 1 for x in vertex]
            vertex[order[size - 1 - k]] -= size
        return site
    raise AssertionError('no simplex')


@pytest.mark.parametrize('dims, num, spread', [(1, 40, 3), (2, 60, 2), (3, 60, 1), (5, 30, 0.4)])
def test_equals_dict_of_vertices(dims, num, spread):
    generator = torch.Generator().manual_seed(dims)
    points = torch.randn(dims, num, generator=generator) * spread
    values = torch.randn(num, 3, generator=generator)
    torch.testing.assert_close(
        PermutohedralLattice(points).filter(values).double(), slow_filter(points, values), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize('seed', range(12))
def test_keys_do_not_run_over(seed):
    # Long, thin sets of points: a key that runs over into the next row makes neighbours of the two ends.
    generator = torch.Generator().manual_seed(seed)
    turn = torch.randn(2, 2, generator=generator)
    points = turn @ (torch.randn(2, 12, generator=generator) * torch.tensor([[2.0], [0.1]]))
    values = torch.eye(12)
    torch.testing.assert_close(
        PermutohedralLattice(points).filter(values).double(), slow_filter(points, values), rtol=1e-4, atol=1e-5
    )


def test_one_point_by_hand():
    # On a line, a point at 0 is vertex 0 and gives 0 to vertex 1. Blurred forth and back: 1 + 0.5 * 0.5.
    filtered = PermutohedralLattice(torch.zeros(1, 1)).filter(torch.tensor([[2.0]]))
    assert filtered.item() == pytest.approx(2 * 1.25 / 1.5)


def test_points_that_coincide_add_up():
    points = torch.tensor([[0.3], [-1.2]])
    once = PermutohedralLattice(points).filter(torch.tensor([[1.0]]))
    often = PermutohedralLattice(points.repeat(1, 5)).filter(torch.ones(5, 1))
    torch.testing.assert_close(often, 5 * once.expand(5, 1))


def test_points_far_apart_ignore_each_other():
    points = torch.tensor([[0.0, 50.0], [0.0, -80.0]])
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    filtered = PermutohedralLattice(points).filter(values)
    assert filtered[0, 1] == filtered[1, 0] == 0
    assert (filtered.diagonal() > 0.5).all()


def test_is_close_to_gaussian():
    # On a grid of 41 x 41 with a standard deviation of 3 cells, seen from 7 x 7 cells in its middle.
    y, x = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing='ij')
    position = torch.stack([x, y]).flatten(1)
    seen = torch.arange(41 * 41).view(41, 41)[17:24, 17:24].flatten()
    response = PermutohedralLattice(position / 3).filter(torch.eye(41 * 41)[:, seen])
    response /= response.sum(0)
    apart = position[:, :, None] - position[:, None, seen]
    gaussian = torch.exp(-apart.square().sum(0) / 18)
    gaussian /= gaussian.sum(0)
    assert (response - gaussian).abs().max() < 0.25 * gaussian.max()  # depends on where a point lies in its simplex
    for axis in (0, 1):
        variance = (response * apart[axis].square()).sum(0).mean()
        assert variance.item() == pytest.approx(9, rel=0.05)


def test_wide_values_are_filtered_in_parts(monkeypatch):
    points, values = torch.randn(2, 30), torch.randn(30, 7)
    lattice = PermutohedralLattice(points)
    whole = lattice.filter(values)
    monkeypatch.setattr(permutohedral, 'MAX_TABLE', 1)
    torch.testing.assert_close(lattice.filter(values), whole)


@pytest.mark.parametrize('dims', [1, 2, 5])
def test_groups_ignore_each_other(dims):
    points, values = torch.randn(dims, 30) * 0.5, torch.randn(30, 2)
    together = PermutohedralLattice(points, groups=3).filter(values)
    for part in (slice(0, 10), slice(10, 20), slice(20, 30)):
        torch.testing.assert_close(together[part], PermutohedralLattice(points[:, part]).filter(values[part]))
    assert not torch.allclose(together, PermutohedralLattice(points).filter(values))


def test_rescale():
    points, values = torch.randn(3, 20), torch.randn(20, 4)
    before, after = torch.rand(20), torch.rand(20)
    plain, scaled = PermutohedralLattice(points), PermutohedralLattice(points)
    scaled.rescale(before, after)
    torch.testing.assert_close(scaled.filter(values), plain.filter(values * before[:, None]) * after[:, None])


def test_same_bits_every_time():
    points, values = torch.randn(5, 500) * 0.3, torch.randn(500, 3)
    first, second = (PermutohedralLattice(points).filter(values) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    'points, message',
    [
        (torch.tensor([[float('nan')]]), 'finite'),
        (torch.tensor([[0.0, 1e30]]), 'larger standard deviations'),
        (torch.eye(5) * 2**19, 'keys of 62 bits'),
    ],
)
def test_points_out_of_range(points, message):
    with pytest.raises(ValueError, match=message):
        PermutohedralLattice(points)
