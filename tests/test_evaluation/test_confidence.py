"""Figures of the confidence, by hand."""

import numpy as np
import pytest

from bana_mm.datasets.training_example import TrainingExample
from bana_mm.evaluation.confidence import ConfidenceQuality, measure_confidence


def test_by_hand():
    label = np.array([[0, 1, 1, 2, 255, 1]], np.uint8)
    ground_truth = np.array([[0, 1, 0, 2, 1, 255]], np.uint8)
    reliable = np.array([[True, False, False, False, False, False]])
    sigma = np.array([[1, 0.75, 0.5, 0.25, 0.9, 0.9]])
    quality = ConfidenceQuality()
    quality.update(sigma, label, reliable, ground_truth)
    # four pixels have a label and a ground truth; the second to fourth of them are doubted, and the third is wrong
    figures = quality.figures()
    assert figures == pytest.approx(
        dict(
            doubted=3 / 4,
            right=2 / 3,
            right_by_weight=1 / 1.5,
            sigma_right=0.5,
            sigma_wrong=0.5,
            average_precision=(1 + 2 / 3) / 2,
        )
    )
    quality.update(np.array([[0.5]]), np.array([[1]], np.uint8), np.array([[False]]), np.array([[0]], np.uint8))
    assert quality.figures()['right_by_weight'] == pytest.approx(1 / 2)


def test_nothing_is_doubted():
    label = np.zeros((2, 2), np.uint8)
    quality = ConfidenceQuality()
    quality.update(np.ones((2, 2)), label, np.ones((2, 2), bool), label)
    figures = quality.figures()
    assert figures.pop('doubted') == 0 and all(np.isnan(value) for value in figures.values())
    assert np.isnan(ConfidenceQuality().figures()['doubted'])


@pytest.mark.parametrize(
    ('missing', 'what'), [('ground_truth', 'mask beside its labels'), ('reliable', 'reliable map')]
)
def test_what_is_needed(missing, what):
    label = np.zeros((2, 2), np.uint8)
    parts = dict(labels=dict(Y_crf=label), reliable=label == 0, ground_truth=label)
    example = TrainingExample('a', np.zeros((2, 2, 3), np.uint8), **{**parts, missing: None})
    with pytest.raises(ValueError, match=f"image 'a' has no {what}"):
        measure_confidence(None, [example])
