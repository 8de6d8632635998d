"""Eq. 6 by hand."""

import torch

from bana_mm.functional import class_activation


def test_class_activation_by_hand():
    feats = torch.tensor([[[1., 2.]], [[3., -1.]]])[None]  # (1, 2, 1, 2)
    weight = torch.tensor([[1., 1.], [2., -1.], [0., 0.]])
    expected = torch.tensor([[4., 1.], [0., 5.], [0., 0.]]).view(1, 3, 1, 2)  # 2*1 - 3 < 0 is cut off
    torch.testing.assert_close(class_activation(feats, weight), expected)
