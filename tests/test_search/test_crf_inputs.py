import numpy as np
import pytest
import torch

from bana_mm.search.crf_inputs import label_crf_input, tempered, write_crf_input


@pytest.mark.parametrize('temperature', [0.25, 1.0, 3.0])
def test_another_temperature(temperature):
    scores = torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    probability = scores.softmax(dim=0).float().numpy()
    expected = (scores / temperature).softmax(dim=0).numpy()
    assert tempered(probability, temperature) == pytest.approx(expected, abs=1e-6)


def test_certain_and_uniform_pixels_stay():
    probability = np.array([[[1.0, 0.5]], [[0.0, 0.5]]], dtype=np.float16)
    for temperature in (0.1, 1, 10):
        found = tempered(probability, temperature)
        assert found.dtype == np.float32 and np.array_equal(found, probability)
    with pytest.raises(ValueError, match='temperature must be above 0, got 0'):
        tempered(probability, 0)


def test_predictions_need_no_boxes(tmp_path):
    probability = np.array([[[0.2, 0.5]], [[0.3, 0.1]], [[0.5, 0.4]]], dtype=np.float32)
    write_crf_input(tmp_path / 'a.pkl', (np.zeros((1, 2, 3), np.uint8), probability))
    label = label_crf_input(tmp_path / 'a.pkl', dict(iterations=0))
    assert label.dtype == np.uint8 and label.tolist() == [[2, 0]]
