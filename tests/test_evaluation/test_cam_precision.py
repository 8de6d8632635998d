import numpy as np
import pytest
import torch

from bana_mm.evaluation.cam_precision import SCORES, CAMPrecision, box_foreground_scores
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps

LAYOUT = BoxLayout.from_boxes((2, 4), [[0, 0, 2, 2], [1, 0, 4, 1]], [3, 1])
RECIPE = LabelRecipe(score='mean', normalise='image')  # neither matters here
ATTENTION = torch.tensor([[0.2, 0.6, 0.6, 1.0], [0.4, 0.4, 0.0, 0.0]])
CAMS = torch.tensor(
    [
        [[9.0, 9.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0]],  # background
        [[5.0, 2.0, 4.0, 1.0], [5.0, 5.0, 5.0, 5.0]],  # class 1
        [[4.0, 0.0, 7.0, 7.0], [2.0, 1.0, 7.0, 7.0]],  # class 3
    ]
)
GROUND_TRUTH = np.array([[3, 1, 1, 255], [3, 0, 0, 0]], dtype=np.uint8)


def test_scores_by_hand():
    scores = box_foreground_scores(ActivationMaps(ATTENTION, CAMS), LAYOUT, RECIPE)
    assert tuple(scores) == SCORES
    expected = {
        'CAM': ([[1.0, 0.0], [0.5, 0.25]], [[0.5, 1.0, 0.25]]),
        '1 - A': ([[0.8, 0.4], [0.6, 0.6]], [[0.4, 0.4, 0.0]]),
        '1 - A, stretched': ([[1.0, 0.0], [0.5, 0.5]], [[1.0, 1.0, 0.0]]),
    }
    for name, values in expected.items():
        for found, value in zip(scores[name], values, strict=True):
            assert found == pytest.approx(np.array(value), abs=1e-6)


def test_counts_by_hand():
    precision = CAMPrecision(3, bins=2)
    precision.update(box_foreground_scores(ActivationMaps(ATTENTION, CAMS), LAYOUT, RECIPE), LAYOUT, GROUND_TRUTH)
    cam = precision.curves['CAM']
    # box of class 3: scores 1 0 / .5 .25, object 1 0 / 1 0; box of class 1: scores .5 1 (255), object 1 1
    assert cam.precision(3).tolist() == [2 / 4, 1.0, 1.0] and cam.recall(3).tolist() == [1.0, 1.0, 1 / 2]
    assert cam.precision(1).tolist() == [1.0, 1.0, 1.0] and cam.recall(1).tolist() == [1.0, 1.0, 1 / 2]
    likelihood = precision.curves['1 - A']  # .8 .4 / .6 .6 and .4 .4
    assert likelihood.precision(3).tolist()[:2] == [2 / 4, 2 / 3]
    assert likelihood.recall(1).tolist() == [1.0, 0.0, 0.0]
    assert (precision.boxes, precision.without_cam) == (2, 0)


def test_box_without_activation():
    cams = CAMS.clone()
    cams[1, 0, 1:] = 0  # class 1 inside its box
    scores = box_foreground_scores(ActivationMaps(ATTENTION, cams), LAYOUT)
    assert not scores['CAM'][1].any()
    precision = CAMPrecision(3, bins=2)
    precision.update(scores, LAYOUT, GROUND_TRUTH)
    assert (precision.boxes, precision.without_cam) == (2, 1)
    assert precision.curves['CAM'].recall(1).tolist() == [1.0, 0.0, 0.0]


def test_mask_of_another_size():
    precision = CAMPrecision(3)
    with pytest.raises(ValueError, match=r'mask has shape \(4, 2\), but its image \(2, 4\)'):
        precision.update({}, LAYOUT, GROUND_TRUTH.T)
