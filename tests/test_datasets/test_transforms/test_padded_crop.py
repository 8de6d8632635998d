"""Crops with the padding around small images, by hand."""

import mmdet.datasets.transforms  # noqa: F401  registers mmdet's transforms
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import DefaultScope

from bana_mm.datasets.transforms import PaddedRandomCrop, PaddedSegRandomCrop, pad_around
from bana_mm.models.classifiers import BAPHead

GREY = 50


def item(height, width, *boxes):
    return dict(
        img=np.full((height, width, 3), GREY, np.uint8),
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes).float().reshape(-1, 4)),
        gt_bboxes_labels=np.array([3] * len(boxes), np.int64),
        gt_ignore_flags=np.array([False] * len(boxes)),
    )


def test_image_in_the_middle_and_its_padding_as_ignored_boxes():
    results = PaddedRandomCrop((9, 6), pad_val=(1, 2, 3))(item(3, 4, (1, 0, 3, 2)))  # width and height of the crop
    image = results['img']
    assert image.shape == (6, 9, 3) and results['img_shape'] == (6, 9)
    # 3 rows are missing, 2 of them above; 5 columns, 3 of them left
    assert (image[2:5, 3:7] == GREY).all()
    image[2:5, 3:7] = (1, 2, 3)
    assert (image == (1, 2, 3)).all()
    assert results['gt_bboxes'].tensor.tolist() == [
        [4, 2, 6, 4],
        [0, 0, 3, 6],
        [7, 0, 9, 6],
        [0, 0, 9, 2],
        [0, 5, 9, 6],
    ]
    assert results['gt_ignore_flags'].tolist() == [False] + [True] * 4
    assert results['gt_bboxes_labels'].tolist() == [3, 0, 0, 0, 0]
    assert results['gt_bboxes_labels'].dtype == np.int64 and results['gt_ignore_flags'].dtype == bool


def test_one_side_only_and_one_pixel():
    results = PaddedRandomCrop((4, 4), allow_negative_crop=True)(item(3, 20))
    assert results['img'].shape == (4, 4, 3)
    assert (results['img'][0] == (104, 117, 123)).all() and (results['img'][1:] == GREY).all()
    assert results['gt_bboxes'].tensor.tolist() == [[0, 0, 4, 1]] and results['gt_ignore_flags'].tolist() == [True]


def test_large_images_are_cropped_as_ever():
    results = PaddedRandomCrop((4, 4))(item(9, 9, (0, 0, 9, 9)))
    assert results['img'].shape == (4, 4, 3) and (results['img'] == GREY).all()
    assert results['gt_bboxes'].tensor.tolist() == [[0, 0, 4, 4]] and results['gt_ignore_flags'].tolist() == [False]
    assert PaddedRandomCrop((4, 4))(item(9, 9)) is None  # mmdet's answer to a crop without boxes


def test_label_maps_are_ignored_in_the_padding():
    results = dict(
        img=np.full((3, 4, 3), GREY, np.uint8),
        gt_seg_map=np.full((3, 4), 7, np.uint8),
        gt_reliable_map=np.ones((3, 4), np.uint8),
        seg_fields=['gt_seg_map', 'gt_reliable_map'],
    )
    results = PaddedSegRandomCrop((6, 9))(results)  # height and width
    inside = np.zeros((6, 9), bool)
    inside[2:5, 3:7] = True
    assert np.array_equal(results['gt_seg_map'], np.where(inside, 7, 255))
    assert np.array_equal(results['gt_reliable_map'] == 1, inside)
    assert results['gt_seg_map'].dtype == np.uint8 and results['img_shape'] == (6, 9)
    assert PaddedSegRandomCrop(5)(dict(img=np.zeros((8, 8, 3), np.uint8)))['img'].shape == (5, 5, 3)


def test_masks_are_refused():
    with pytest.raises(ValueError, match='x.jpg: padding around an image does not move instance masks'):
        pad_around(dict(item(3, 3), gt_masks=[1], img_path='x.jpg'), (4, 4))


@pytest.mark.parametrize('flip', [0.0, 1.0])
def test_padding_is_no_background_for_the_classifier(flip):
    with DefaultScope.overwrite_default_scope('mmdet'):
        packed = Compose(
            [
                dict(type='bana_mm.PaddedRandomCrop', crop_size=(32, 32), allow_negative_crop=True),
                dict(type='RandomFlip', prob=flip),
                dict(type='PackDetInputs', meta_keys=('img_shape',)),
            ]
        )(item(32, 17, (2, 0, 9, 32)))
    sample = packed['data_samples']
    sample.set_metainfo(dict(batch_input_shape=(32, 32)))
    rois = torch.cat([torch.zeros(1, 1), sample.gt_instances.bboxes.tensor], dim=1)
    background = BAPHead(num_classes=4, in_channels=2)._definite_background(rois, [sample])[0, 0]
    # 15 columns are missing, 8 of them left; the image's columns 0, 1 and 9 to 16 lie outside the box
    columns = [8, 9, *range(17, 25)]
    if flip:
        columns = [31 - column for column in columns]
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[:, columns] = True
    assert torch.equal(background, expected)
    assert sample.gt_instances.labels.tolist() == [3]
