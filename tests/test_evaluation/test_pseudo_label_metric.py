import logging

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from bana_mm.evaluation import PseudoLabelMetric
from bana_mm.labels.unaries import label_task
from bana_mm.registry import METRICS
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps


def sample(ground_truth, predicted, mask=None, label_map=None, key='sem_seg'):
    """As the model hands it over: mmdet names the map of a mask ``sem_seg``, others ``data``."""
    element = BaseDataElement(metainfo=dict(img_path='a.jpg'))
    element.gt_instances = InstanceData(labels=torch.tensor(ground_truth, dtype=torch.long))
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


@pytest.mark.parametrize('in_tensors', [True, False])
def test_labels_are_made_from_the_activation_maps(tmp_path, in_tensors):
    """Y_crf of the recipe, a CRF without iterations: the class wins in its box where its CAM does."""
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    boxes, ignored = [[1.0, 1, 5, 3]], [[4.0, 0, 6, 2]]
    activation = torch.zeros(2, 4, 6)
    activation[0], activation[1, :, :3], activation[1, :, 3:] = 1.0, 4.0, 1.0
    activation[0, 0, 0] = 2.0  # the background's score is then 1/2 in the box, that of the class 1 and 1/4
    ground_truth = np.zeros((4, 6), np.uint8)
    ground_truth[1:3, 1:3] = 3  # dog
    element = sample([2], [2])
    for name, values in (('gt_instances', boxes), ('ignored_instances', ignored)):
        part = InstanceData(bboxes=torch.tensor(values) if in_tensors else HorizontalBoxes(torch.tensor(values)))
        if name == 'gt_instances':
            part.labels = element.gt_instances.labels
        element.set_field(part, name)
    element.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(ground_truth)[None])
    element.set_metainfo(dict(img_path=str(tmp_path / 'a.png'), ori_shape=(4, 6)))
    recipe = LabelRecipe(background='cam', crf=dict(iterations=0))
    maps = ActivationMaps(torch.zeros(4, 6), activation)
    element.set_field(maps, 'activation_maps', dtype=ActivationMaps)
    element.set_field(recipe, 'label_recipe', dtype=LabelRecipe)
    result = evaluate([element])
    # right but for three pixels that only the ignored box covers, which are 255: wrong in a single map
    assert result['label_mIoU'] == pytest.approx(100 * ((20 - 3) / 20 + 1) / 2)
    layout = BoxLayout.from_boxes((4, 6), boxes, [3], ignored)
    label = label_task(pixels[..., ::-1].copy(), maps, layout, recipe).run()
    assert (label == 255).sum() == 3 and np.array_equal(label == 3, ground_truth == 3)


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
    with pytest.raises(ValueError, match=r'a\.jpg: ground truth: label map holds class 38'):
        evaluate([sample([0], [0], [[0, 38]], [[0, 1]])])
