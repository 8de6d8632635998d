"""Boxes on the pixel grid, against values by hand and against loops."""

import pytest
import torch

from bana_mm.functional import box_masks, definite_background, inside_boxes, pixel_boxes


@pytest.mark.parametrize(
    'box, expected',
    [
        ([0, 0, 8, 6], [0, 0, 8, 6]),  # covers the image
        ([2.4, 1.6, 4.4, 2.6], [2, 2, 4, 3]),  # rounds to the nearest edge
        ([99.99999 - 97, 0, 4, 1], [3, 0, 4, 1]),  # a truncation would lose a pixel
        ([3.1, 2.1, 3.2, 2.2], [3, 2, 4, 3]),  # never empty
        ([-5, -5, 100, 100], [0, 0, 8, 6]),  # clipped
        ([8, 6, 9, 7], [7, 5, 8, 6]),  # beyond the corner: the corner pixel
    ],
)
def test_pixel_boxes_by_hand(box, expected):
    assert pixel_boxes(torch.tensor([box]), (6, 8)).tolist() == [expected]


def test_box_masks_cover_exactly_their_pixels():
    masks = box_masks(torch.tensor([[1.0, 2.0, 3.0, 4.0], [3.0, 5.0, 4.0, 6.0]]), (6, 8))
    assert masks.shape == (2, 6, 8) and masks.dtype == torch.bool
    assert masks[0].nonzero().tolist() == [[2, 1], [2, 2], [3, 1], [3, 2]]
    assert masks[1].nonzero().tolist() == [[5, 3]]


def test_inside_boxes_is_the_union():
    boxes = torch.tensor([[1.0, 2.0, 5.0, 4.0], [4.0, 0.0, 6.0, 3.0], [1.0, 2.0, 5.0, 4.0]])
    assert torch.equal(inside_boxes(boxes, (6, 8)), box_masks(boxes, (6, 8)).any(0))
    assert not inside_boxes(torch.zeros(0, 4), (6, 8)).any()


def test_definite_background_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(7, 2, generator=generator) * 20
    extent = torch.rand(7, 2, generator=generator) * 15
    image = torch.tensor([0, 0, 0, 2, 2, 2, 2])  # image 1 has no box
    rois = torch.cat([image[:, None].float(), corner, corner + extent], dim=1)
    sizes = torch.tensor([[24, 30], [24, 20], [10, 30]])
    expected = torch.zeros(3, 1, 24, 30, dtype=torch.bool)
    for n, (height, width) in enumerate(sizes.tolist()):
        expected[n, 0, :height, :width] = True
    for n, (x1, y1, x2, y2) in zip(image.tolist(), pixel_boxes(rois[:, 1:], (24, 30)).tolist()):
        expected[n, 0, y1:y2, x1:x2] = False
    assert torch.equal(definite_background(rois, sizes, (24, 30)), expected)


def test_definite_background_without_boxes_is_the_image_without_its_padding():
    mask = definite_background(torch.zeros(0, 5), torch.tensor([[2, 3]]), (4, 4))
    assert mask[0, 0].nonzero().tolist() == [[y, x] for y in range(2) for x in range(3)]
