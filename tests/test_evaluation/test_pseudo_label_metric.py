import logging

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from bana_mm.evaluation import PseudoLabelMetric
from bana_mm.registry import METRICS


def sample(truth, predicted, mask=None, label_map=None, key='sem_seg'):
    """As the model hands it over: mmdet names the map of a mask ``sem_seg``, others ``data``."""
    element = BaseDataElement(metainfo=dict(img_path='a.jpg'))
    element.gt_instances = InstanceData(labels=torch.tensor(truth, dtype=torch.long))
    element.pred_instances = InstanceData(labels=torch.tensor(predicted, dtype=torch.long))
    if mask is not None:
        element.gt_sem_seg = PixelData(**{key: torch.tensor([mask], dtype=torch.uint8)})
        element.pred_sem_seg = PixelData(data=torch.tensor([label_map], dtype=torch.uint8))
    return element


def evaluate(samples):
    evaluator = Evaluator([METRICS.build(dict(type='bana_mm.PseudoLabelMetric'))])
    evaluator.dataset_meta = dict(classes=('cat', 'cow', 'dog'))
    for element in samples:
        evaluator.process([element])
    return evaluator.evaluate(len(samples))


def test_box_accuracy_by_hand():
    # cat 3 of 4, dog 0 of 1 (called background), no cow
    result = evaluate([sample([0, 0, 0], [0, 0, 1]), sample([], []), sample([0, 2], [0, -1])])
    assert result == dict(box_acc=pytest.approx(60.0), box_acc_mean_class=pytest.approx(37.5))


@pytest.mark.parametrize('key', ['sem_seg', 'data'])
def test_label_miou_where_masks_are(key):
    result = evaluate(
        [
            sample([0], [0], [[0, 0, 1, 1]], [[0, 1, 1, 1]], key),
            sample([1], [1]),  # no mask
            sample([2], [2], [[0, 3, 3, 255]], [[0, 3, 0, 1]], key),
        ]
    )
    # background: 2 hits of 3 true and 3 predicted; cat 2 of 3; dog 1 of 2
    assert result['label_mIoU'] == pytest.approx(100 * (2 / 4 + 2 / 3 + 1 / 2) / 3)
    assert result['box_acc'] == 100.0


def test_no_boxes_at_all():
    result = evaluate([sample([], [])])
    assert np.isnan(result['box_acc']) and np.isnan(result['box_acc_mean_class'])


def test_every_class_is_logged(caplog):
    logger = MMLogger.get_instance('table', logger_name='table')
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO):
        evaluate([sample([0, 0, 2], [0, 1, 2], [[0, 1]], [[0, 0]])])
    table = [line.split() for line in caplog.text.splitlines()]
    assert ['class', 'boxes', 'accuracy', 'label', 'IoU'] in table
    assert ['background', '50.00'] in table
    assert ['cat', '2', '50.00', '0.00'] in table
    assert ['dog', '1', '100.00', '-'] in table
    assert not any(line[:1] == ['cow'] for line in table)


def test_one_prediction_a_box():
    with pytest.raises(ValueError, match='a.jpg: 2 boxes in gt_instances.labels but 1 in pred_instances.labels'):
        evaluate([sample([0, 1], [0])])


def test_table_is_for_humans_only():
    assert PseudoLabelMetric().prefix is None  # the names are box_acc and so on


def test_masks_without_objects_are_no_figure(monkeypatch):
    lines = []
    monkeypatch.setattr('bana_mm.evaluation.pseudo_label_metric.print_log', lambda text, **kwargs: lines.append(text))
    result = evaluate([sample([0], [0], [[0, 0, 255, 255]], [[0, 0, 1, 1]])])
    assert np.isnan(result['label_mIoU']) and any('no pixel of any class was compared' in line for line in lines)


def test_masks_of_other_classes_are_named():
    with pytest.raises(ValueError, match=r'a\.jpg: truth: label map holds class 38'):
        evaluate([sample([0], [0], [[0, 38]], [[0, 1]])])
