import math

import pytest

from bana_mm.utils.seeds import paired_differences, spread


def test_spread_by_hand():
    values = spread([1.0, 2.0, 6.0])
    # mean 3; squares 4 + 1 + 9 = 14, over 2 = 7
    assert (values.count, values.mean) == (3, 3.0)
    assert values.deviation == pytest.approx(2.6457513, abs=1e-6)
    assert values.error == pytest.approx(1.5275252, abs=1e-6)  # sqrt(7 / 3)


def test_spread_of_too_few():
    one, none = spread([4.0]), spread([])
    assert (one.count, one.mean) == (1, 4.0) and math.isnan(one.deviation) and math.isnan(one.error)
    assert none.count == 0 and all(map(math.isnan, (none.mean, none.deviation, none.error)))


def test_pairs_share_a_seed():
    # what the seeds have in common, here 0, 50 and 100, drops out: 1, 2 and 3 remain
    differences = paired_differences({2: 103.0, 0: 1.0, 1: 52.0, 7: 9.0}, {0: 0.0, 1: 50.0, 2: 100.0, 5: 3.0})
    assert list(differences.items()) == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert spread(differences.values()).error == pytest.approx(1 / math.sqrt(3))
    assert paired_differences({0: 1.0}, {1: 1.0}) == {}
