import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bana_mm.labels.run_length import decode_run_lengths


def test_by_hand():
    assert decode_run_lengths([1, 2, 3], (2, 3)).tolist() == [[False, True, False], [True, False, False]]
    assert decode_run_lengths([0, 6], (2, 3)).all() and not decode_run_lengths([6], (2, 3)).any()


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
    counts = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))['counts'].decode()
    assert np.array_equal(decode_run_lengths(counts, (height, width)), mask)


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ([1, 4], 'sum to 5, but the mask has 2 x 3 pixels'),
        ([1, 6], 'sum to 7'),
        ([-1, 7], 'whole numbers'),
        ([1.5, 4.5], 'whole numbers'),
        ('7', 'sum to 7'),
        ('O', 'whole numbers'),  # -1
        ('V', 'in the middle of a number'),
        ('6 ', "hold the character ' '"),
        ('', 'sum to 0'),
    ],
)
def test_bad_run_lengths(counts, message):
    with pytest.raises(ValueError, match=message):
        decode_run_lengths(counts, (2, 3))
