import math

import numpy as np
import pytest

from bana_mm.labels.trust import MEASURES, MaskEvidence, TrustedMask, TrustRule, first_that_passes
from bana_mm.structures import InstanceMask

PLAIN = dict(
    bias=0.0,
    weights=dict.fromkeys(MEASURES, 0.0),
    usual=dict.fromkeys(MEASURES, 0.5),
)


def rule(**changes):
    """One half for everything that is not asked for."""
    weights = {**PLAIN['weights'], **changes.pop('weights', {})}
    return TrustRule(**{'min_score': 0.5, **PLAIN, **changes, 'weights': weights})


def rows(*lines):
    return np.array([[character == '#' for character in line] for line in lines])


def sigmoid(odds):
    return 1 / (1 + math.exp(-odds))


def test_score_by_hand():
    evidence = MaskEvidence(fill=0.5, touched=4, extent=1.0, fill_gap=0.1, jitter=0.9)
    assert rule().score(evidence) == 0.5
    made = rule(bias=0.3, weights=dict(jitter=2.0, extent=1.0, fill_gap=-4.0, agreement=9.0, doubts=9.0))
    # 0.3 + 2 (0.9 - 0.5) + (1 - 0.5) - 4 (0.1 - 0.5); nothing is known of agreement and doubts
    assert made.score(evidence) == pytest.approx(sigmoid(0.3 + 0.8 + 0.5 + 1.6))
    evidence.agreement, evidence.doubts = 0.4, 0.6
    assert made.score(evidence) == pytest.approx(sigmoid(3.2 - 0.9 + 0.9))


def test_a_predicted_iou_takes_the_place_of_the_bias():
    evidence = MaskEvidence(fill=0.5, touched=4, extent=0.5, fill_gap=0.5, predicted_iou=0.8)
    assert rule(bias=-3.0).score(evidence) == pytest.approx(0.8)
    assert rule(weights=dict(extent=1.0)).score(MaskEvidence(0.5, 4, 1.0, 0.5, predicted_iou=0.8)) > 0.8
    for predicted, expected in ((-0.1, 0.01), (1.2, 0.99)):  # as SAM may say
        evidence.predicted_iou = predicted
        assert rule().score(evidence) == pytest.approx(expected)


def test_what_is_measured():
    mask = rows('....', '.##.', '.##.', '.#..')
    found = InstanceMask(mask, rows('....', '.#..', '....', '..#.'), score=0.7)
    box, moved = (2, 3, 6, 7), [(1, 4, 5, 8), (3, 2, 7, 6)]
    jittered = [np.zeros((4, 4), bool), rows('....', '....', '##..', '##..')]  # the second sees the same object
    judged = rule(fills=dict(cat=0.4), touch=0.25).judge(found, box, 'cat', jittered, moved, second=rows(*['.##.'] * 4))
    evidence = judged.evidence
    assert evidence.fill == 5 / 16 and evidence.fill_gap == pytest.approx(0.4 - 5 / 16)
    assert evidence.touched == 4  # one of four pixels away at most
    assert evidence.extent == pytest.approx(0.5 * 0.75)
    # the first has 5 pixels fewer in common pixels, all of the mask; of the second's rows 0..2, columns 1..3
    assert evidence.jitter == pytest.approx((0 + 1) / 2)
    assert evidence.doubts == pytest.approx(4 / 6)
    assert evidence.agreement == pytest.approx(5 / 8)
    assert evidence.predicted_iou is None
    assert np.array_equal(judged.mask, mask)
    expected = found.unreliable | mask | rows('.##.', '....', '....', '..#.')
    assert np.array_equal(judged.unreliable, expected)
    # the source was given as it is
    assert found.unreliable.sum() == 2 and found.score == 0.7


def test_nothing_but_the_mask_is_known():
    evidence = rule(usual_fill=0.7).judge(InstanceMask(rows('#.', '##')), (0, 0, 2, 2), 'cat').evidence
    assert (evidence.jitter, evidence.doubts, evidence.agreement) == (None, None, None)
    assert evidence.fill_gap == pytest.approx(0.05)
    own = rule().judge(InstanceMask(rows('#.', '##'), score=0.8), (0, 0, 2, 2), score_is_iou=True)
    assert own.evidence.predicted_iou == 0.8 and own.score == pytest.approx(0.8)


def test_what_passes():
    touching, whole = rows('.#', '#.'), rows('##', '##')
    assert rule(bias=0.1).judge(InstanceMask(touching), (0, 0, 2, 2)).passes
    assert not rule(bias=-0.1).judge(InstanceMask(touching), (0, 0, 2, 2)).passes  # a score below one half
    assert rule(bias=-0.1, min_score=0.4).judge(InstanceMask(touching), (0, 0, 2, 2)).passes
    assert not rule(bias=3.0).judge(InstanceMask(whole), (0, 0, 2, 2)).passes
    assert rule(bias=3.0, max_fill=1.0).judge(InstanceMask(whole), (0, 0, 2, 2)).passes
    small = rows('#..', '...', '...')
    assert not rule(bias=3.0).judge(InstanceMask(small), (0, 0, 3, 3)).passes  # two sides alone
    assert rule(bias=3.0, min_touched=2).judge(InstanceMask(small), (0, 0, 3, 3)).passes


def test_an_object_that_was_not_found_is_not_trusted():
    judged = rule(bias=5.0, max_fill=1.0).judge(InstanceMask.stand_in((2, 3)), (0, 0, 3, 2))
    assert judged.score == 0 and not judged.passes and judged.unreliable.all()


def test_fall_back_order():
    def candidate(score, passes):
        return TrustedMask(rows('#'), score=score, passes=passes)

    assert first_that_passes([candidate(0.6, True), candidate(0.9, True)]) == 0
    assert first_that_passes([candidate(0.6, False), candidate(0.5, True), candidate(0.9, True)]) == 1
    assert first_that_passes([candidate(0.3, False), candidate(0.4, False), candidate(0.4, False)]) == 1
    assert first_that_passes([candidate(0.0, False)]) == 0


def test_fields():
    assert TrustRule.from_cfg(None) == TrustRule() and TrustRule.from_cfg(TrustRule()) == TrustRule()
    changed = TrustRule.from_cfg(dict(weights=dict(jitter=1.5), shift=0.1))
    assert changed.weights == {**TrustRule().weights, 'jitter': 1.5} and changed.shift == 0.1
    assert TrustRule.from_cfg(changed.to_dict()) == changed
    for cfg, message in (
        (dict(shfit=0.1), "unknown field 'shfit'"),
        (dict(weights=dict(size=1)), "weights has 'size'"),
        (dict(min_touched=5), r'min_touched must lie in \[0, 4\], got 5'),
        (dict(usual_fill=float('nan')), 'usual_fill'),
    ):
        with pytest.raises(ValueError, match=message):
            TrustRule.from_cfg(cfg)


def test_the_fitted_weights_go_the_right_way():
    weights = TrustRule().weights
    assert all(weights[name] >= 0 for name in ('jitter', 'extent', 'agreement', 'doubts')) and weights['fill_gap'] <= 0
