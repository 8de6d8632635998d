"""Pictures and figures of a training on pseudo masks of instances."""

import json
import re

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData

from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.report import write_report
from bana_mm.report.gather import find_all
from bana_mm.report.instances import instance_images, predicted_instances
from bana_mm.report.survey import survey_images
from bana_mm.structures import decode_mask, encode_mask

CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(type='MaskRCNN')
train_dataloader = dict(dataset=dict(
    type='bana_mm.CocoPseudoMaskDataset', metainfo=dict(classes=('ring', 'triangle')),
    pseudo_labels=dict(json={masks!r}, boxes={boxes!r}), data_prefix=dict(img={images!r}),
    filter_cfg=dict(min_size=1000), pipeline=dict(order=('load',), load=dict(type='LoadImageFromFile'))))
test_dataloader = dict(dataset=dict(type='CocoDataset', ann_file='gone.json'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
"""


@pytest.fixture
def work(tmp_path):
    """The work directory of a training; of the first image the upper half of each mask is missing, and unreliable."""
    coco = make_tiny_coco(tmp_path / 'coco', 3, 1)
    boxes = coco / 'annotations/instances_train2017.json'
    content = json.loads(boxes.read_text())
    sizes = {image['id']: (image['height'], image['width']) for image in content['images']}
    first = content['images'][0]['id']
    for one in content['annotations']:
        mask = decode_mask(one['segmentation'], sizes[one['image_id']])
        if one['image_id'] == first:
            upper = mask.copy()
            upper[round(one['bbox'][1] + one['bbox'][3] / 2) :] = False
            one['segmentation'] = encode_mask(mask & ~upper, mask.shape)
            one['unreliable'] = encode_mask(upper, mask.shape)
    masks = tmp_path / 'masks.json'
    masks.write_text(json.dumps(content))
    run = tmp_path / 'work/20260101_000000/vis_data'
    run.mkdir(parents=True)
    (run / 'config.py').write_text(
        CONFIG.format(masks=str(masks), boxes=str(boxes), images=str(coco / 'train2017') + '/')
    )
    (run / 'scalars.json').write_text(json.dumps(dict(loss=1.0, step=1)))
    return tmp_path / 'work'


def test_masks_against_true_ones(work, tmp_path):
    (training,) = find_all(work).trainings
    images, maps = instance_images(training.cfg)
    assert [one.caption for one in maps] == ['masks', 'reliable region'] and len(images.dataset) == 3
    survey = survey_images(images, maps, 10)
    assert list(survey.confusions) == ['masks']  # the region is drawn alone
    scores = [one.scores['masks'] for one in survey.images]
    assert scores[1:] == [1, 1] and 0.3 < scores[0] < 0.9
    info = images.dataset.get_data_info(0)
    label, region, true = maps[0].read(info), maps[1].read(info), images.truth(info)
    assert label.shape == true.shape == (info['height'], info['width']) and label.dtype == np.uint8
    # by hand: what is unreliable is what the masks lack; elsewhere all three agree
    assert (region == 255).any() and np.array_equal(region == 255, (true > 0) & (label == 0))
    assert np.array_equal(label[region != 255], true[region != 255])

    text = write_report(work, images=3, with_models=False).read_text()
    assert text.count('<article') == 3 and text.count('alt="reliable region of') == 3
    assert 'data-group="worst" data-score="%.1f"' % (100 * scores[0]) in text
    assert re.search(r'Best, median and worst of 3 images of masks by the mIoU of (&#34;|")masks', text)


def test_boxes_without_masks(work, capsys):
    (training,) = find_all(work).trainings
    boxes = training.cfg.train_dataloader.dataset.pseudo_labels.boxes
    content = json.loads(open(boxes).read())
    for one in content['annotations']:
        del one['segmentation']
    with open(boxes, 'w') as file:
        json.dump(content, file)
    images, maps = instance_images(training.cfg)
    survey = survey_images(images, maps, 10)
    assert 'no true masks: ' in capsys.readouterr().out and not survey.confusions and survey.ranked_by is None
    assert set(survey.rates) == {'masks'}


def test_masks_that_are_gone(work, tmp_path, capsys):
    (tmp_path / 'masks.json').unlink()
    text = write_report(work, images=3).read_text()
    assert '<article' not in text and 'no pictures of the train set: ' in capsys.readouterr().out


def test_predictions_of_a_high_score():
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[0, :, :4], masks[1, 1:3, 1:3], masks[2] = True, True, True

    class Model:
        def predict(self, rgb):
            found = InstanceData(masks=masks, labels=torch.tensor([0, 1, 2]), scores=torch.tensor([0.9, 0.3, 0.29]))
            return BaseDataElement(pred_instances=found)

    rows = [[1, 1, 1, 1, 0, 0], [1, 2, 2, 1, 0, 0], [1, 2, 2, 1, 0, 0], [1, 1, 1, 1, 0, 0]]
    assert predicted_instances(Model(), np.zeros((4, 6, 3), np.uint8)).tolist() == rows
