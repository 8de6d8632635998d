"""DeepLab-V2's head."""

import pytest
import torch
import torch.nn.functional as F

from bana_mm.models.decode_heads import ASPPSumHead

COMMON = dict(
    in_channels=4, num_classes=3, dilations=(1, 2), dropout_ratio=0, loss_decode=dict(type='CrossEntropyLoss')
)


def test_hidden_layer_of_the_reference_code():
    head = ASPPSumHead(channels=5, **COMMON)
    head.init_weights()
    x = torch.randn(2, 4, 7, 6)
    first, second = (conv.weight for conv in head.convs)
    hidden = F.relu(F.conv2d(x, first, padding=1) + F.conv2d(x, second, padding=2, dilation=2))
    expected = F.conv2d(hidden, head.conv_seg.weight, head.conv_seg.bias)
    torch.testing.assert_close(head([x]), expected)
    assert all(conv.bias is None for conv in head.convs)


def test_direct_sum_of_deeplab_v2():
    head = ASPPSumHead(direct=True, **COMMON)
    head.init_weights()
    x = torch.randn(1, 4, 5, 5)
    expected = sum(conv(x) for conv in head.convs)
    torch.testing.assert_close(head([x]), expected)
    assert set(head.state_dict()) == {f'convs.{i}.{kind}' for i in range(2) for kind in ('weight', 'bias')}


@pytest.mark.parametrize('direct', [False, True])
def test_initialisation(direct):
    head = ASPPSumHead(channels=64, direct=direct, **dict(COMMON, in_channels=64, num_classes=32))
    head.init_weights()
    for conv in head.convs:
        assert 0.009 < conv.weight.std() < 0.011
        assert conv.bias is None or conv.bias.eq(0).all()
