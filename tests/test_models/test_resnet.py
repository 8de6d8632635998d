"""The ResNet of DeepLab-V2: sizes of its map, and mmseg's names."""

import pytest
import torch
from mmseg.models.backbones import ResNet

from bana_mm.models import DeepLabResNet

TINY = dict(
    depth=50,
    base_channels=2,
    stem_channels=2,
    style='caffe',
    strides=(1, 2, 1, 1),
    dilations=(1, 1, 2, 4),
    out_indices=(3,),
)


def build(cls, **kwargs):
    model = cls(**TINY, **kwargs)
    model.eval()  # returns nothing
    return model


@pytest.mark.parametrize(
    'side, rounded_up, rounded_down',
    [
        (375, 48, 47),  # stem 188, pooled 95 or 94
        (321, 41, 41),  # stem 161, pooled 81
        (500, 63, 63),  # stem 250, pooled 126 or 125
    ],
)
def test_cells_of_a_side(side, rounded_up, rounded_down):
    image = torch.zeros(1, 3, side, 65)
    for ceil_mode, cells in ((True, rounded_up), (False, rounded_down)):
        feats = build(DeepLabResNet, ceil_mode=ceil_mode)(image)[0]
        assert feats.shape[2:] == (cells, 9)


def test_same_weights_and_the_same_map_where_sizes_agree():
    plain, ours = build(ResNet), build(DeepLabResNet)
    ours.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 65, 97)
    torch.testing.assert_close(ours(image)[0], plain(image)[0])
    # a last cell more, whose window reaches over the edge, leaves the stem's other cells as they are
    stem = torch.rand(1, 2, 188, 8)
    torch.testing.assert_close(ours.maxpool(stem)[:, :, :94, :4], plain.maxpool(stem))
    last = ours.maxpool(stem)[:, :, 94]  # rows 187 and what lies beyond
    torch.testing.assert_close(last[..., 0], stem[:, :, 187, :2].amax(-1))
