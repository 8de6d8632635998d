import importlib.util
import sys

import numpy as np
import pytest
import torch

from bana_mm.functional import dense_crf, dense_crf_labels

# The module itself: the package has a function of the same name.
module = importlib.import_module('bana_mm.functional.dense_crf')
BACKENDS = [
    pytest.param(
        'pydensecrf',
        marks=pytest.mark.skipif(importlib.util.find_spec('pydensecrf') is None, reason='pydensecrf is missing'),
    ),
    'torch',
]
# For labels, and for the predictions of DeepLab-V1 and V2.
SETTINGS = [((4, 55, 3), (3, 3)), ((4, 121, 5), (3, 3)), ((4, 67, 3), (3, 1))]


def photograph(height, width, num_classes, seed=0):
    """Shaded, textured regions with noise, and probabilities that follow them roughly. (H, W, 3), (C, H, W)"""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    region = np.zeros((height, width), int)
    for label in range(1, num_classes):
        center_y, center_x = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(0.15, 0.35) * min(height, width)
        region[(y - center_y) ** 2 + (x - center_x) ** 2 < radius**2] = label
    image = rng.uniform(20, 235, (num_classes, 3))[region]
    image += (20 * np.sin(x / 7.0) + 15 * np.cos(y / 11.0 + x / 23.0))[..., None]
    image += rng.normal(0, 4, image.shape)
    wrong = np.roll(region, (3, -4), axis=(0, 1))
    score = 1.5 * np.eye(num_classes)[wrong].transpose(2, 0, 1)
    probability = np.exp(score + 0.5 * rng.standard_normal(score.shape))
    return image.clip(0, 255).astype(np.uint8), (probability / probability.sum(0)).astype(np.float32)


def brute_force(image, probability, bilateral, gaussian, iterations):
    """Mean field with the exact Gaussian kernels as (N, N) matrices, float64."""
    num_classes, height, width = probability.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    position = np.stack([x, y], 1)
    kernel = 0
    for setting in (bilateral, gaussian):
        if setting is None:
            continue
        weight, *stds = setting
        features = position / stds[0]
        if len(stds) == 2:
            features = np.concatenate([features, image.reshape(-1, 3) / stds[1]], 1)
        matrix = np.exp(-0.5 * np.square(features[:, None] - features[None]).sum(-1))
        root = np.sqrt(matrix.sum(1))
        kernel = kernel + weight * matrix / root / root[:, None]
    log_prob = np.log(probability.reshape(num_classes, -1).clip(1e-5, 1)).astype(float)
    marginal = np.exp(log_prob) / np.exp(log_prob).sum(0)
    for _ in range(iterations):
        marginal = np.exp(log_prob + marginal @ kernel)
        marginal /= marginal.sum(0)
    return marginal.reshape(probability.shape)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('bilateral, gaussian', [((2, 8, 40), None), (None, (2, 3)), ((2, 8, 40), (1, 3))])
def test_brute_force(backend, bilateral, gaussian):
    # Wide, weak kernels, where the lattice is a good approximation.
    image, probability = photograph(24, 20, 3)
    posterior = dense_crf(image, probability, bilateral, gaussian, iterations=3, backend=backend)
    expected = brute_force(image, probability, bilateral, gaussian, 3)
    start = probability / probability.sum(0)
    assert np.abs(expected - start).max() > 0.3  # the kernels do something
    assert np.abs(posterior - expected).max() < 0.05
    assert (posterior.argmax(0) == expected.argmax(0)).mean() > 0.97


@pytest.mark.parametrize('num_classes', [2, 3, 21])
@pytest.mark.parametrize('bilateral, gaussian', SETTINGS)
def test_backends_agree(bilateral, gaussian, num_classes):
    pytest.importorskip('pydensecrf')
    image, probability = photograph(100, 125, num_classes, seed=num_classes)
    reference, ours = (
        dense_crf(image, probability, bilateral, gaussian, backend=backend) for backend in ('pydensecrf', 'torch')
    )
    assert (reference.argmax(0) != probability.argmax(0)).mean() > 0.05  # otherwise there is nothing to agree on
    assert (reference.argmax(0) == ours.argmax(0)).mean() >= 0.9999
    np.testing.assert_allclose(ours, reference, rtol=0, atol=5e-4)


@pytest.mark.parametrize('backend', BACKENDS)
class TestDegenerate:
    @pytest.mark.parametrize('size', [(1, 1), (1, 13), (13, 1), (2, 3)])
    def test_tiny_images(self, backend, size):
        image, probability = photograph(*size, 3)
        posterior = dense_crf(image, probability, backend=backend)
        assert posterior.shape == probability.shape
        np.testing.assert_allclose(posterior.sum(0), 1, atol=1e-5)

    def test_one_pixel_by_hand(self, backend):
        # A pixel's only neighbour is itself, and each kernel is its weight: one step of softmax(log p + 7 p).
        probability = np.array([0.4, 0.6], np.float32).reshape(2, 1, 1)
        posterior = dense_crf(np.zeros((1, 1, 3), np.uint8), probability, iterations=1, backend=backend)
        score = np.log([0.4, 0.6]) + 7 * np.array([0.4, 0.6])
        np.testing.assert_allclose(posterior[:, 0, 0], np.exp(score) / np.exp(score).sum(), atol=1e-5)

    def test_constant_image_and_equal_probabilities(self, backend):
        image = np.full((9, 11, 3), 77, np.uint8)
        posterior = dense_crf(image, np.full((2, 9, 11), 0.5, np.float32), backend=backend)
        np.testing.assert_allclose(posterior, 0.5, atol=1e-5)

    def test_constant_image_spreads_the_majority(self, backend):
        probability = np.full((2, 12, 16), 0.4, np.float32)
        probability[1] = 0.6
        probability[:, 6, 8] = 0.6, 0.4
        posterior = dense_crf(np.zeros((12, 16, 3), np.uint8), probability, backend=backend)
        assert (posterior.argmax(0) == 1).all()

    def test_zero_probabilities(self, backend):
        image, probability = photograph(16, 20, 3)
        probability[2] = 0  # a class without support
        probability[:, :4] = 0  # rows where no class has any
        posterior = dense_crf(image, probability, backend=backend)
        assert np.isfinite(posterior).all()
        assert (posterior.argmax(0) != 2).all()

    def test_zero_counts_as_1e_5(self, backend):
        probability = np.array([0, 1, 0.5], np.float32).reshape(3, 1, 1)
        posterior = dense_crf(np.zeros((1, 1, 3), np.uint8), probability, iterations=0, backend=backend)
        np.testing.assert_allclose(posterior[:, 0, 0], np.array([1e-5, 1, 0.5]) / 1.50001, rtol=1e-5)

    def test_one_class(self, backend):
        image, probability = photograph(4, 5, 1)
        assert (dense_crf(image, 0.3 * probability, backend=backend) == 1).all()

    def test_without_iterations_or_kernels(self, backend):
        image, probability = photograph(8, 9, 3)
        expected = probability / probability.sum(0)
        np.testing.assert_allclose(dense_crf(image, probability, iterations=0, backend=backend), expected, atol=1e-6)
        np.testing.assert_allclose(dense_crf(image, probability, None, None, backend=backend), expected, atol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS)
def test_containers(backend):
    image, probability = photograph(10, 12, 3)
    expected = dense_crf(image, probability, backend=backend)
    assert isinstance(expected, np.ndarray) and expected.dtype == np.float32 and expected.flags.c_contiguous

    logits = torch.from_numpy(probability.copy()).requires_grad_()
    tensor = dense_crf(torch.from_numpy(image), logits, backend=backend)
    assert tensor.dtype == torch.float32 and not tensor.requires_grad
    np.testing.assert_array_equal(tensor.numpy(), expected)

    bgr = image[..., ::-1].copy()
    bgr.flags.writeable = probability.flags.writeable = False
    wide = np.asfortranarray(probability.astype(np.float64))
    np.testing.assert_allclose(dense_crf(bgr[..., ::-1], wide, backend=backend), expected, atol=1e-6)
    channels_first = torch.from_numpy(image.transpose(2, 0, 1).copy()).permute(1, 2, 0)
    np.testing.assert_array_equal(dense_crf(channels_first, probability, backend=backend), expected)


@pytest.mark.parametrize('backend', BACKENDS)
def test_several_images_at_once_are_as_one_by_one(backend):
    # The second is the first one in other colours, so that they would mix if they shared vertices.
    image, probability = photograph(20, 24, 3)
    images = np.stack([image, image // 2 + 60, photograph(20, 24, 3, seed=1)[0]])
    probabilities = np.stack([probability, probability[::-1], probability])
    posterior = dense_crf(images, probabilities, backend=backend)
    assert posterior.shape == (3, 3, 20, 24)
    for i in range(3):
        expected = dense_crf(images[i], probabilities[i], backend=backend)
        np.testing.assert_allclose(posterior[i], expected, rtol=0, atol=1e-6)


def test_torch_backend_gives_same_bits_every_time():
    image, probability = photograph(30, 40, 3)
    first, second = (dense_crf(image, probability, backend='torch') for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_auto_backend(monkeypatch):
    small, large = torch.empty(2, 128, 128), torch.empty(2, 375, 500)
    monkeypatch.setattr(module, 'find_spec', lambda name: object())
    assert module._choose_backend('auto', small) == 'pydensecrf'
    assert module._choose_backend('auto', large) == 'torch'
    assert module._choose_backend('auto', small.to('meta')) == 'torch'
    assert module._choose_backend('pydensecrf', large) == 'pydensecrf'
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    assert module._choose_backend('auto', small) == 'torch'
    with pytest.raises(ImportError, match='pip install pydensecrf2'):
        module._choose_backend('pydensecrf', small)


def test_torch_backend_does_not_need_pydensecrf(monkeypatch):
    for name in ('pydensecrf', 'pydensecrf.densecrf'):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    image, probability = photograph(6, 7, 2)
    assert dense_crf(image, probability).shape == (2, 6, 7)


@pytest.mark.parametrize(
    'field, changes',
    [
        ('image', dict(image=np.zeros((4, 5), np.uint8))),
        ('image', dict(image=np.zeros((4, 5, 4), np.uint8))),
        ('image', dict(image=np.zeros((0, 5, 3), np.uint8), probability=np.ones((2, 0, 5), np.float32))),
        ('image', dict(image=np.zeros((4, 5, 3), np.float32))),
        ('probability', dict(probability=np.ones((4, 5), np.float32))),
        ('probability', dict(probability=np.ones((1, 2, 4, 5), np.float32))),
        (r'probability must have shape \(2, C, 4, 5\)', dict(image=np.zeros((2, 4, 5, 3), np.uint8))),
        ('probability', dict(probability=np.ones((0, 4, 5), np.float32))),
        ('probability', dict(probability=np.ones((2, 5, 4), np.float32))),
        ('probability', dict(probability=np.ones((2, 4, 5), np.int64))),
        ('probability', dict(probability=np.full((2, 4, 5), np.nan, np.float32))),
        ('probability', dict(probability=np.full((2, 4, 5), np.inf, np.float32))),
        ('probability', dict(probability=np.full((2, 4, 5), -0.1, np.float32))),
        ('bilateral', dict(bilateral=(4, 55))),
        ('bilateral: xy_std', dict(bilateral=(4, 0, 3))),
        ('bilateral: rgb_std', dict(bilateral=(4, 55, float('inf')))),
        ('gaussian: weight', dict(gaussian=(-1, 3))),
        ('iterations', dict(iterations=-1)),
        ('iterations', dict(iterations=2.5)),
        ('backend', dict(backend='numpy')),
    ],
)
def test_bad_arguments(field, changes):
    arguments = dict(image=np.zeros((4, 5, 3), np.uint8), probability=np.full((2, 4, 5), 0.5, np.float32))
    with pytest.raises(ValueError, match=f'^{field}'):
        dense_crf(**{**arguments, **changes})


def test_labels_are_the_largest_posterior():
    rng = np.random.default_rng(0)
    image, probability = rng.integers(0, 256, (7, 9, 3), np.uint8), rng.random((3, 7, 9), np.float32)
    labels = dense_crf_labels(image, probability, iterations=2)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, dense_crf(image, probability, iterations=2).argmax(0))
