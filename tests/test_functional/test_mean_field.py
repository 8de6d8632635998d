import pytest
import torch

from bana_mm.functional.mean_field import bilateral_features, gaussian_kernel, mean_field, spatial_features
from bana_mm.functional.permutohedral import PermutohedralLattice


class MatrixKernel:
    """A kernel given as an (N, N) matrix."""

    def __init__(self, matrix):
        self.matrix = matrix

    def filter(self, values):
        return self.matrix @ values


def test_features_by_hand():
    image = torch.tensor([[[10, 20, 30], [40, 50, 60]]], dtype=torch.uint8)
    assert spatial_features(2, 3, 2.0).tolist() == [[0, 0.5, 1, 0, 0.5, 1], [0, 0, 0, 0.5, 0.5, 0.5]]
    assert bilateral_features(image, 4.0, 10.0).tolist() == [[0, 0.25], [0, 0], [1, 4], [2, 5], [3, 6]]


def test_kernel_of_one_pixel_is_its_weight():
    kernel = gaussian_kernel(3.0, torch.tensor([[0.7], [0.1]]))
    torch.testing.assert_close(kernel.filter(torch.tensor([[2.0, 5.0]])), torch.tensor([[6.0, 15.0]]))


def test_kernel_is_normalised_symmetrically():
    features, values = torch.randn(2, 40), torch.randn(40, 3)
    plain = PermutohedralLattice(features)
    root = plain.filter(torch.ones(40, 1)).sqrt()
    torch.testing.assert_close(gaussian_kernel(2.0, features).filter(values), 2 * plain.filter(values / root) / root)


@pytest.mark.parametrize('num_classes', [2, 3, 16, 21])
def test_equals_loops(num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    num = 6
    unary = torch.rand(num_classes, num, generator=generator)
    matrices = [torch.rand(num, num, generator=generator) for _ in range(2)]

    expected = torch.softmax(-unary, 0)
    for _ in range(3):
        score = torch.empty(num_classes, num)
        for label in range(num_classes):
            for i in range(num):
                message = sum(matrix[i, j] * expected[label, j] for matrix in matrices for j in range(num))
                score[label, i] = message - unary[label, i]
        expected = score.exp() / score.exp().sum(0)

    marginal = mean_field(unary, [MatrixKernel(matrix) for matrix in matrices], 3)
    torch.testing.assert_close(marginal, expected)
    assert marginal.is_contiguous()


@pytest.mark.parametrize('kernels, iterations', [([], 4), ([MatrixKernel(torch.ones(5, 5))], 0)])
def test_without_kernels_or_iterations(kernels, iterations):
    unary = torch.rand(3, 5)
    torch.testing.assert_close(mean_field(unary, kernels, iterations), torch.softmax(-unary, 0))
