"""Image labels from boxes before cropping, and colours before jittering, on their way into a sample."""

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import RandomCrop
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import init_default_scope

from bana_mm.datasets.transforms import ColorJitter, ImageLabels, KeepColours, PackBoxDetInputs, PackBoxSegInputs
from bana_mm.registry import TRANSFORMS


def results(labels, ignored):
    labels = np.array(labels, np.int64)
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    return dict(
        img=image,
        img_shape=image.shape[:2],
        gt_bboxes=HorizontalBoxes(torch.tensor([[0.0, 0, 8, 8]]).repeat(len(labels), 1)),
        gt_bboxes_labels=labels,
        gt_ignore_flags=np.array(ignored, bool),
    )


@pytest.mark.parametrize(
    'labels, ignored, present, unknown',
    [
        ([2, 0, 2], [0, 0, 0], [0, 2], []),
        ([2, 0, 2, 1], [1, 0, 0, 1], [0, 2], [1]),
        ([3], [1], [], [3]),
        ([], [], [], []),
    ],
)
def test_classes_once_each(labels, ignored, present, unknown):
    found = ImageLabels()(results(labels, ignored))
    assert found['gt_image_labels'].tolist() == present and found['gt_image_unknown'].tolist() == unknown
    assert found['gt_image_labels'].dtype == found['gt_image_unknown'].dtype == np.int64


def test_classes_stay_when_a_crop_removes_their_boxes():
    init_default_scope('mmdet')
    found = ImageLabels()(results([1], [0]))
    for _ in range(50):
        cropped = RandomCrop((8, 8), allow_negative_crop=True)({**found, 'gt_bboxes': found['gt_bboxes'].clone()})
        if not len(cropped['gt_bboxes_labels']):
            break
    packed = PackBoxDetInputs(meta_keys=())(KeepColours()(cropped))['data_samples']
    assert not len(packed.gt_instances) and packed.gt_image_labels.tolist() == [1]
    assert packed.gt_image_unknown.tolist() == [] and packed.gt_colours.shape == (8, 8)
    with pytest.raises(ValueError, match='ImageLabels must come before'):
        ImageLabels()({**cropped, 'flip': True})


@pytest.mark.parametrize('pack', [PackBoxDetInputs, PackBoxSegInputs])
def test_colours_are_those_before_the_jitter(pack):
    before = results([1], [0])
    image = before['img'].copy()
    after = ColorJitter()(KeepColours()(before))
    assert not np.array_equal(after['img'], image)
    sample = pack(meta_keys=())(after)['data_samples']
    assert sample.gt_colours.data.equal(torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy()))
    assert sample.gt_colours.data.dtype == torch.uint8
    if pack is PackBoxDetInputs:
        assert sample.gt_instances.colours is sample.gt_colours.data
        assert sample.gt_instances.to('cpu').colours.shape == (3, 32, 48)


def test_samples_without_them_are_packed_as_before():
    sample = PackBoxDetInputs(meta_keys=())(results([1], [0]))['data_samples']
    assert set(sample.keys()) == {'gt_instances', 'ignored_instances'}
    for name in ('ImageLabels', 'KeepColours', 'PackBoxDetInputs'):
        assert repr(TRANSFORMS.build(dict(type=f'bana_mm.{name}')))
