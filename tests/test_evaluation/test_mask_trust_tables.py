import numpy as np
import pytest

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.evaluation.mask_trust import (
    JudgedCase,
    fit_rule,
    judge_case,
    judge_source,
    rank_correlation,
    summarise,
)
from bana_mm.labels import LabelItems, TrustedSource
from bana_mm.labels.trust import MaskEvidence, TrustedMask, TrustRule


def rows(*lines):
    return np.array([[character == '#' for character in line] for line in lines])


def case(iou, score=0.5, fill=0.5, true_fill=0.5, pixels=None, known=10, **measures):
    evidence = MaskEvidence(**{**dict(fill=fill, touched=4, extent=1.0, fill_gap=0.0), **measures})
    pixels = pixels or dict.fromkeys(('jitter', 'rest', 'all'), [0, 0, 0])
    return JudgedCase(1, iou, score, evidence, true_fill, pixels, known)


def test_a_case_by_hand():
    one = TrustedMask(
        rows('##..', '##..'),
        rows('.##.', '#...'),
        0.6,
        MaskEvidence(0.5, 3, 0.5, 0.1),
        flipped=rows('.#..', '....'),
    )
    true, known = rows('###.', '#...'), rows('####', '###.')
    found = judge_case(one, true, known, 7)
    # wrong: column 2 above, column 1 below
    assert found.iou == pytest.approx(3 / 5) and found.known == 7 and found.true_fill == 0.5
    assert (found.class_index, found.score) == (7, 0.6)
    assert found.pixels == dict(jitter=[0, 1, 2], rest=[1, 1, 1], all=[1, 2, 1])
    # a pixel that nobody knows counts nowhere
    assert judge_case(one, true, rows('##.#', '#.#.')).pixels['all'] == [0, 2, 0]


def test_rank_correlation():
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    assert rank_correlation([0, 5, 5, 6], [1, 2, 3, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert np.isnan(rank_correlation([1, 1], [1, 2])) and np.isnan(rank_correlation([1], [1]))


def test_summary_by_hand():
    cases = [
        case(0.9, 0.8, jitter=0.9, pixels=dict(jitter=[1, 1, 0], rest=[0, 0, 1], all=[1, 1, 0])),
        case(0.5, 0.6, jitter=0.7, pixels=dict(jitter=[0, 2, 3], rest=[1, 0, 2], all=[1, 2, 2])),
        case(0.7, 0.1, pixels=dict(jitter=[0, 0, 0], rest=[0, 0, 0], all=[0, 0, 0])),
    ]
    found = summarise(cases)
    assert found['masks'] == 3 and found['iou'] == pytest.approx(0.7)
    assert found['better_half'] == pytest.approx(0.7) and found['worse_half'] == pytest.approx(0.7)
    assert found['score'] == pytest.approx(0.5) and found['error'] == pytest.approx((0.1 + 0.1 + 0.6) / 3)
    assert found['correlation'] == pytest.approx(0.5)  # ranks 3, 2, 1 and 3, 1, 2
    assert found['correlations']['jitter'] == pytest.approx(1) and np.isnan(found['correlations']['extent'])
    assert 'agreement' not in found['correlations']
    assert found['wrong'] == pytest.approx(4 / 30)
    assert found['unreliable']['all'] == pytest.approx(dict(share=5 / 30, precision=2 / 5, recall=2 / 4))
    assert found['unreliable']['jitter'] == pytest.approx(dict(share=4 / 30, precision=1 / 4, recall=1 / 4))


def test_fit_finds_the_rule_that_made_the_ious():
    rng = np.random.default_rng(0)
    cases = []
    for number in range(200):
        jitter, fill = rng.uniform(0.3, 1), rng.uniform(0.2, 1)
        agreement = rng.uniform() if number % 2 else None
        odds = 0.4 + 3 * jitter - 2 * abs(fill - 0.6) + (0 if agreement is None else 1.5 * (agreement - 0.5))
        cases.append(case(1 / (1 + np.exp(-odds)), fill=fill, true_fill=0.6, jitter=jitter, agreement=agreement))
    found = fit_rule(cases, ridge=0)
    assert found['usual_fill'] == pytest.approx(0.6)
    assert set(found['weights']) == {'jitter', 'fill_gap', 'agreement'}  # what never changes tells nothing
    for name, weight in dict(jitter=3, fill_gap=-2, agreement=1.5).items():
        assert found['weights'][name] == pytest.approx(weight, abs=0.1)
    rule = TrustRule.from_cfg({**found, 'weights': {'extent': 0, 'doubts': 0, **found['weights']}})
    scores = []
    for one in cases:
        one.evidence.fill_gap = abs(one.evidence.fill - found['usual_fill'])
        scores.append(rule.score(one.evidence))
    assert np.mean(scores) == pytest.approx(np.mean([one.iou for one in cases]), abs=1e-6)
    assert rank_correlation(scores, [one.iou for one in cases]) > 0.99


def test_a_measure_that_counts_the_wrong_way_is_left_out():
    cases = [case(0.9 - 0.6 * number / 20, jitter=0.5 + number / 50, agreement=1 - number / 40) for number in range(20)]
    found = fit_rule(cases)
    assert found['weights']['jitter'] == 0 and found['weights']['agreement'] > 0


def test_shrinking():
    cases = [case(iou, jitter=iou) for iou in (0.2, 0.8, 0.5, 0.9)]
    assert (
        abs(fit_rule(cases, ridge=100.0)['weights']['jitter']) < 0.1 < fit_rule(cases, ridge=0.1)['weights']['jitter']
    )


def test_against_label_maps(tmp_path):
    root = make_tiny_voc(tmp_path / 'voc')
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/val.txt',
        data_root=str(root),
        metainfo=dict(classes=('ring', 'triangle')),
        require_masks=True,
        test_mode=True,
    )
    ground_truth = f'files:{root / "SegmentationClassAug"}'
    items = LabelItems(dataset)
    cases = judge_source(TrustedSource(ground_truth), items)
    assert cases and all(one.iou == 1 and one.pixels['all'][2] == 0 for one in cases)
    boxes = judge_source(TrustedSource('box', second=ground_truth), items)
    assert len(boxes) == len(cases)
    for one, other in zip(boxes, cases):
        assert one.iou == pytest.approx(other.true_fill, abs=0.05)  # 255 apart
        hit, false, missed = one.pixels['all']
        assert missed == 0 and hit > 0 and one.pixels['jitter'] == [0, 0, hit]
