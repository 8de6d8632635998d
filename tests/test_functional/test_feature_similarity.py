"""The feature similarity loss by hand and against a loop over pairs, in full and in a window."""

import math

import pytest
import torch

from bana_mm.functional import (
    box_predictions,
    class_predictions,
    colour_gate,
    feature_similarity_loss,
    grid_colours,
    max_normalised,
)

BLACK_WHITE = torch.tensor([0.0, 1]).expand(1, 3, 1, 2)
OPPOSITE = torch.tensor([[1.0, 0], [0, 1]]).view(1, 2, 1, 2)
HALVES = torch.tensor([0.0, 1]).expand(1, 3, 2, 2)  # left and right
ALIGNED = torch.stack([1 - HALVES[0, 0], HALVES[0, 0]])[None]


def test_gate():
    distance = torch.tensor([0.0, 0.05, 0.0758582, 0.1, 0.5, 1.0])
    expected = torch.tensor([-1.0, -0.41716, 0.0001, 0.29393, 0.98661, 1.0])
    torch.testing.assert_close(colour_gate(distance), expected, atol=3e-5, rtol=0)
    slow = [math.tanh(1.5 + math.log((d + 1e-5) / (1 - d + 1e-5))) for d in (0.01, 0.3, 0.9)]
    assert colour_gate(torch.tensor([0.01, 0.3, 0.9]), mu=1.5).tolist() == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize('sigma, value', [(None, -0.5), (1.0, -0.0965324), (5.0, -0.00624014)])
@pytest.mark.parametrize('radius', [None, 1])
def test_two_cells(sigma, value, radius):
    apart = feature_similarity_loss(BLACK_WHITE, OPPOSITE, sigma=sigma, radius=radius)
    assert apart.item() == pytest.approx(value, abs=1e-7)
    alike = feature_similarity_loss(torch.zeros_like(BLACK_WHITE), OPPOSITE, sigma=sigma, radius=radius)
    assert alike.item() == pytest.approx(-value, abs=1e-7)


def test_soft_prediction_of_two_cells():
    soft = torch.tensor([[0.25, 0.75], [0.75, 0.25]]).view(1, 2, 1, 2)
    assert feature_similarity_loss(BLACK_WHITE, soft, sigma=None).item() == pytest.approx(-0.125, abs=1e-6)


@pytest.mark.parametrize(
    'sigma, aligned, crossed', [(None, -0.5, 0), (1.0, -0.155082, 0.0379825), (5.0, -0.0123567, 0.000123563)]
)
@pytest.mark.parametrize('radius', [None, 1, 7])
def test_four_cells(sigma, aligned, crossed, radius):
    for prediction, value in ((ALIGNED, aligned), (ALIGNED.transpose(2, 3), crossed)):
        loss = feature_similarity_loss(HALVES, prediction, sigma=sigma, radius=radius)
        assert loss.item() == pytest.approx(value, abs=1e-6)
    constant = feature_similarity_loss(HALVES, torch.full((1, 2, 2, 2), 0.3), sigma=sigma, radius=radius)
    assert constant == 0


def slow_loss(colours, prediction, mu, sigma, radius, valid, fixed):
    """Pair by pair."""
    means = []
    height, width = valid.shape[1:]
    cells = [(y, x) for y in range(height) for x in range(width)]
    for n in range(len(colours)):
        free = [c for c in cells if valid[n][c] and not fixed[n][c]]
        total = 0
        for a in cells:
            for b in cells:
                far = radius is not None and max(abs(a[0] - b[0]), abs(a[1] - b[1])) > radius
                if far or not (valid[n][a] and valid[n][b]) or (fixed[n][a] and fixed[n][b]):
                    continue
                (ya, xa), (yb, xb) = a, b
                d = min(sum(abs(colours[n, c, ya, xa].item() - colours[n, c, yb, xb].item()) for c in range(3)) / 3, 1)
                gate = math.tanh(mu + math.log((d + 1e-5) / (1 - d + 1e-5)))
                near = 1 / valid[n].sum().item()
                if sigma is not None:
                    near = math.exp(-((ya - yb) ** 2 + (xa - xb) ** 2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
                total = total + near * gate * (prediction[n, :, ya, xa] - prediction[n, :, yb, xb]).square().sum() / 2
        if free:
            means.append(-total / len(free))
    return sum(means) / len(means)


@pytest.mark.parametrize('sigma', [None, 1.5])
@pytest.mark.parametrize('radius', [None, 2])
@pytest.mark.parametrize('masked', [False, True])
def test_equals_a_loop_over_pairs(sigma, radius, masked):
    colours, prediction = torch.rand(3, 3, 4, 5).double(), torch.rand(3, 3, 4, 5).double()
    valid = torch.rand(3, 4, 5) > 0.2 if masked else torch.ones(3, 4, 5, dtype=torch.bool)
    fixed = (torch.rand(3, 4, 5) > 0.6) & masked
    if masked:
        valid[1] = False  # wholly padding
    masks = dict(valid=valid, fixed=fixed) if masked else {}
    fast, slow = prediction.clone().requires_grad_(), prediction.clone().requires_grad_()
    loss = feature_similarity_loss(colours, fast, 2.0, sigma, radius, max_pairs=60, **masks)
    expected = slow_loss(colours, torch.where(fixed[:, None], slow.detach(), slow), 2.0, sigma, radius, valid, fixed)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(fast.grad, slow.grad)
    assert (fast.grad[fixed[:, None].expand_as(fast)] == 0).all()


def test_window_that_covers_the_map_is_the_whole_loss():
    colours, prediction = torch.rand(2, 3, 6, 9), torch.rand(2, 4, 6, 9)
    fixed = torch.rand(2, 6, 9) > 0.5
    for radius in (8, 30):
        results = []
        for window in (None, radius):
            y = prediction.clone().requires_grad_()
            loss = feature_similarity_loss(colours, y, radius=window, fixed=fixed)
            results.append((loss, *torch.autograd.grad(loss, y)))
        torch.testing.assert_close(results[0], results[1])


def test_three_sigma_leave_out_four_thousandths():
    line = torch.arange(-100, 101).double()
    near = torch.exp(-(line[:, None] ** 2 + line**2) / (2 * 5.0**2))
    inside = near[85:116, 85:116].sum() / near.sum()
    assert 1 - inside.item() == pytest.approx(0.004, abs=5e-4)


@pytest.mark.parametrize('radius', [None, 1])
@pytest.mark.parametrize('kind', ['maxnorm', 'sigmoid', 'softmax'])
def test_gradcheck(radius, kind):
    colours = torch.rand(2, 3, 3, 4).double()
    logits = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    present = torch.tensor([[True, False], [True, True]])

    def loss(z):
        return feature_similarity_loss(colours, class_predictions(z, present, kind), radius=radius, sigma=1.0)

    assert torch.autograd.gradcheck(loss, (logits,))


def test_max_normalised():
    maps = max_normalised(torch.tensor([-1.0, 0, 1, 3]).view(1, 1, 2, 2)).flatten()
    torch.testing.assert_close(maps, torch.tensor([0.0, 0, 0.333329, 0.999993]), atol=1e-6, rtol=0)
    dark = torch.tensor([-3.0, -1, -2, 0]).view(1, 1, 2, 2).requires_grad_()
    max_normalised(dark).sum().backward()
    assert (dark.grad == 0).all()


def test_class_predictions():
    logits, present = torch.randn(2, 3, 4, 4), torch.tensor([[1, 0, 1], [0, 0, 0]])
    maps = class_predictions(logits, present, 'sigmoid')
    torch.testing.assert_close(maps[0, [1, 3]], logits[0, [0, 2]].sigmoid())
    torch.testing.assert_close(maps[0, 0], 1 - logits[0, [0, 2]].sigmoid().amax(0))
    assert (maps[0, 2] == 0).all() and (maps[1, 0] == 1).all() and (maps[1, 1:] == 0).all()
    with_background = torch.cat([torch.randn(2, 1, 4, 4), logits], dim=1)
    torch.testing.assert_close(class_predictions(with_background, present, 'sigmoid'), maps)  # a dummy
    softmax = class_predictions(with_background, present, 'softmax')
    torch.testing.assert_close(softmax[0, 3], with_background.softmax(1)[0, 3])
    assert not torch.allclose(class_predictions(logits, present, 'softmax')[0, 0], softmax[0, 0])
    for kind, match in (('maximum', 'kind must be'), ('sigmoid', 'of 3 classes do not fit labels of 5')):
        with pytest.raises(ValueError, match=match):
            class_predictions(logits, torch.ones(2, 5), kind)


def test_box_predictions():
    logits = torch.randn(1, 4, 2, 2)
    regions = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    regions[0, 1, 0, 0] = regions[0, 1, 0, 1] = regions[0, 2, 0, 1] = True
    maps = box_predictions(logits, regions)[0]
    torch.testing.assert_close(maps[[0, 2], 0, 0], logits[0, [0, 2], 0, 0].softmax(0))
    torch.testing.assert_close(maps[[0, 2, 3], 0, 1], logits[0, [0, 2, 3], 0, 1].softmax(0))
    assert maps[:, 1].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]


def degenerate_maps():
    """Predictions of every kind where something is out of the ordinary."""
    for classes in ([0, 0], [1, 1], [1, 0]):
        for fill in (0.0, -1e4, 1e4, -1.0):
            for size in ((1, 1), (3, 2)):
                yield torch.full((1, 2, *size), fill), torch.tensor([classes])
    mixed = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2).expand(1, 2, 3, 2)
    yield mixed, torch.tensor([[1, 1]])


@pytest.mark.parametrize('kind', ['maxnorm', 'sigmoid', 'softmax'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_degenerate_inputs_stay_finite(kind, dtype):
    for logits, present in degenerate_maps():
        colours = torch.zeros(1, 3, *logits.shape[2:], dtype=dtype)  # a constant image
        for radius in (None, 2):
            z = logits.clone().to(dtype).requires_grad_()
            loss = feature_similarity_loss(colours, class_predictions(z, present, kind), radius=radius)
            loss.backward()
            assert loss.isfinite() and z.grad.isfinite().all()


def test_image_of_padding_and_image_that_is_known():
    prediction = torch.rand(2, 3, 4, 4, requires_grad=True)
    none = torch.zeros(2, 4, 4, dtype=torch.bool)
    for masks in (dict(valid=none), dict(fixed=~none)):
        loss = feature_similarity_loss(torch.rand(2, 3, 4, 4), prediction, **masks)
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert loss == 0 and (gradient == 0).all()


def test_bad_input():
    prediction = torch.rand(1, 2, 4, 4)
    with pytest.raises(ValueError, match='do not lie on the prediction'):
        feature_similarity_loss(torch.rand(1, 3, 4, 5), prediction)
    with pytest.raises(ValueError, match='valid must be bool'):
        feature_similarity_loss(torch.rand(1, 3, 4, 4), prediction, valid=torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match='sigma must be above 0'):
        feature_similarity_loss(torch.rand(1, 3, 4, 4), prediction, sigma=0.0)


@pytest.mark.parametrize('stride, align_corners', [(4, True), (4, False), (3, True)])
def test_area_colours_pixel_by_pixel(stride, align_corners):
    images, visible = torch.rand(2, 3, 13, 10).double(), torch.ones(2, 1, 13, 10, dtype=torch.bool)
    visible[0, :, 9:] = visible[1, :, :, 7:] = False
    height, width = -(-13 // stride), -(-10 // stride)
    colours = grid_colours(images, (height, width), 'area', stride, align_corners, visible)
    for n in range(2):
        for y in range(height):
            for x in range(width):
                start = [stride * i - (stride // 2 if align_corners else 0) for i in (y, x)]
                pixels = [
                    images[n, :, r, c]
                    for r in range(max(start[0], 0), min(start[0] + stride, 13))
                    for c in range(max(start[1], 0), min(start[1] + stride, 10))
                    if visible[n, 0, r, c]
                ]
                expected = torch.stack(pixels).mean(0) if pixels else torch.zeros(3).double()
                torch.testing.assert_close(colours[n, :, y, x], expected)


def test_bilinear_colours_and_bad_grids():
    images = torch.rand(1, 3, 17, 17)
    torch.testing.assert_close(grid_colours(images, (3, 3)), images[..., ::8, ::8])
    with pytest.raises(ValueError, match='correct the stride'):
        grid_colours(images, (5, 5), 'area', 8)
    with pytest.raises(ValueError, match="'bilinear' or 'area'"):
        grid_colours(images, (3, 3), 'nearest')
