from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bana_mm.labels.classifier import extract_features
from bana_mm.structures import LabelRecipe


class Model(nn.Module):
    """Its features are the mean of 2 x 2 pixels, and the column of the cell, which no mirroring changes."""

    def __init__(self, padding=0):
        super().__init__()
        self.padding = padding

    def data_preprocessor(self, batch):
        inputs = torch.stack(batch['inputs']).float()
        return dict(inputs=nn.functional.pad(inputs, (0, self.padding)))

    def extract_feat(self, inputs):
        mean = nn.functional.avg_pool2d(inputs.mean(dim=1, keepdim=True), 2)
        column = torch.arange(mean.shape[3]).expand_as(mean)
        return torch.cat([mean, column.float()], dim=1)


def items(*images):
    return [dict(inputs=image, data_samples=SimpleNamespace()) for image in images]


def test_one_view_of_each_image_of_a_batch():
    images = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6).to(torch.uint8)
    first, second = extract_features(Model(), items(*images))
    assert len(first) == len(second) == 1
    for features, image in ((first, images[0]), (second, images[1])):
        assert torch.equal(features[0], Model().extract_feat(image[None].float())[0])
        assert torch.equal(features[0], extract_features(Model(), items(image))[0][0])


def test_scales_and_flips_show_the_image_the_same_way_round():
    image = torch.zeros(3, 4, 8, dtype=torch.uint8)
    image[:, :, :2] = 100
    (views,) = extract_features(Model(), items(image), LabelRecipe(scales=(1, 0.5), flip=True))
    assert [tuple(view.shape) for view in views] == [(2, 2, 4), (2, 2, 4), (2, 1, 2), (2, 1, 2)]
    assert views[0][0].tolist() == views[1][0].tolist() == [[100, 0, 0, 0]] * 2
    assert views[0][1, 0].tolist() == [0, 1, 2, 3] and views[1][1, 0].tolist() == [3, 2, 1, 0]
    # 4 of 8 columns with their corners aligned: columns 0, 7/3, 14/3, 7
    torch.testing.assert_close(views[2][0], torch.tensor([[50.0, 0.0]]))


def test_mixed_precision_is_the_networks_alone():
    class Network(Model):
        def extract_feat(self, inputs):
            weight = torch.full((1, 3, 2, 2), 1 / 12)
            return nn.functional.conv2d(inputs, weight, stride=2)

    image = torch.randint(0, 255, (3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (half,), (full,) = (extract_features(Network(), items(image), LabelRecipe(amp=amp))[0] for amp in (True, False))
    assert half.dtype == torch.bfloat16 and full.dtype == torch.float32
    torch.testing.assert_close(half.float(), full, rtol=2**-6, atol=0)
    assert not torch.is_autocast_enabled('cpu')


def test_padding_is_an_error():
    with pytest.raises(ValueError, match='pad_size_divisor'):
        extract_features(Model(padding=2), items(torch.zeros(3, 4, 8)))
