import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bana_mm.structures import decode_mask, encode_mask
from bana_mm.structures.run_length import compressed, mask_of


def decoded(counts, size):
    return decode_mask(dict(size=list(size), counts=counts), size)


def test_by_hand():
    assert decoded([1, 2, 3], (2, 3)).tolist() == [[False, True, False], [True, False, False]]
    assert decoded([0, 6], (2, 3)).all() and not decoded([6], (2, 3)).any()


def test_encoded_mask_lies_where_its_corner_says():
    mask = np.array([[1, 1, 0], [0, 1, 0]], bool)
    rle = encode_mask(mask, (6, 8), (4, 3))
    whole = np.zeros((6, 8), np.uint8)
    whole[3, 4] = whole[3, 5] = whole[4, 5] = 1
    assert np.array_equal(coco_mask.decode(rle), whole)
    assert np.array_equal(decode_mask(rle, (6, 8)), whole)
    assert json.loads(json.dumps(rle)) == rle


@pytest.mark.parametrize(
    ('height', 'width', 'share'),
    [
        (1, 1, 0.0),
        (1, 1, 1.0),
        (7, 5, 0.5),
        (40, 60, 0.02),
        (40, 60, 0.5),
        (300, 200, 0.0),
        (300, 200, 0.001),
        (300, 200, 1.0),
    ],
)
def test_strings_as_written_by_pycocotools(height, width, share):
    mask = np.random.default_rng(height).random((height, width)) < share
    counts = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))['counts']
    for form in (counts, counts.decode()):  # pycocotools' own and JSON's
        assert np.array_equal(decoded(form, (height, width)), mask)


BAD = [
    ([1, 4], 'sum to 5, but the mask has 2 x 3 pixels'),
    ([1, 6], 'sum to 7'),
    ([], 'sum to 0'),
    ([-1, 7], 'whole numbers'),
    ([1.5, 4.5], 'whole numbers'),
    (['1', '5'], 'whole numbers'),
    ('7', 'sum to 7'),
    ('14', 'sum to 5'),
    ('O', 'whole numbers'),  # -1
    ('V', 'in the middle of a number'),
    ('6 ', "hold the character ' '"),
    ('', 'sum to 0'),
    (6, 'an object with size'),
    (None, 'an object with size'),
]


@pytest.mark.parametrize('read', [decode_mask, compressed, mask_of])
@pytest.mark.parametrize(('counts', 'message'), BAD)
def test_bad_run_lengths(read, counts, message):
    """Too few or too many would make pycocotools read past the end; all ways from a file into the program refuse."""
    with pytest.raises(ValueError, match=message):
        read(dict(size=[2, 3], counts=counts), (2, 3))


@pytest.mark.parametrize('read', [decode_mask, compressed, mask_of])
def test_of_another_size(read):
    with pytest.raises(ValueError, match=r'size \[3, 2\] \(height, width\), but the image \[2, 3\]'):
        read(dict(size=[3, 2], counts=[1, 5]), (2, 3))
    with pytest.raises(ValueError, match='an object with size'):
        read(dict(counts=[1, 5]), (2, 3))


@pytest.mark.parametrize(('value', 'message'), [([1, 5], 'an object with size'), ('06', 'an object with size')])
def test_no_object_at_all(value, message):
    with pytest.raises(ValueError, match=message):
        decode_mask(value, (2, 3))


def test_formats_of_masks():
    expected = np.zeros((6, 8), np.uint8)
    expected[1:5, 1:5] = 1
    encoded = encode_mask(expected, (6, 8))
    counts = [7, 4, 2, 4, 2, 4, 2, 4, 19]  # down the columns
    two = [[1, 1, 5, 1, 5, 3, 1, 3], [1, 3, 5, 3, 5, 5, 1, 5]]
    for segmentation in ([[1, 1, 5, 1, 5, 5, 1, 5]], two, dict(size=[6, 8], counts=counts), encoded):
        assert np.array_equal(coco_mask.decode(mask_of(segmentation, (6, 8))), expected)


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([[1, 1, 5, 5]], 'at least three points'),
        ([[1, 1, 5, 1, 5, 5, 1]], 'a polygon must be a list'),
        ([[1, 1, 5, 1, 5, 5], 3], 'a polygon must be a list'),
        ([], r'polygons or run lengths, got \[\]'),
        ('mask', "got 'mask'"),
        (None, 'got None'),
    ],
)
def test_what_is_no_mask(segmentation, message):
    with pytest.raises(ValueError, match=message):
        mask_of(segmentation, (6, 8))
