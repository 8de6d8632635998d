"""Eq. 6 by hand."""

import torch

from bana_mm.functional import class_activation


def test_class_activation_by_hand():
    feats = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])[None]  # (1, 2, 1, 2)
    weight = torch.tensor([[1.0, 1.0], [2.0, -1.0], [0.0, 0.0]])
    expected = torch.tensor([[4.0, 1.0], [0.0, 5.0], [0.0, 0.0]]).view(1, 3, 1, 2)  # 2*1 - 3 < 0 is cut off
    torch.testing.assert_close(class_activation(feats, weight), expected)
