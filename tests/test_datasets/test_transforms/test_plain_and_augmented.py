"""The ordinary pipeline beside test-time augmentation."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from bana_mm.registry import TRANSFORMS

PACK = dict(type='PackSegInputs')


def flips(*probs):
    return [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in probs]


def transform(plain, *augmented):
    init_default_scope('mmseg')
    views = [dict(type='TestTimeAug', transforms=[*augmented, [PACK]])]
    return TRANSFORMS.build(dict(type='bana_mm.PlainAndAugmented', plain=[*plain, PACK], augmented=views))


def item(image):
    return dict(img=image, img_path='a.jpg', img_shape=image.shape[:2], ori_shape=image.shape[:2], seg_fields=[])


def marks(views):
    return [(sample.plain, sample.augmented) for sample in views['data_samples']]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def scales(*factors):
    return [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in factors]


def test_a_view_serves_for_both(image):
    views = transform([], scales(0.5, 1.0), flips(0.0, 1.0))(item(image))
    assert marks(views) == [(False, True), (False, True), (True, True), (False, True)]
    assert torch.equal(views['inputs'][2], torch.from_numpy(image).permute(2, 0, 1))


def test_otherwise_there_is_one_view_more(image):
    views = transform(scales(2.0), scales(0.5, 1.0))(item(image))
    assert marks(views) == [(False, True), (False, True), (True, False)]
    assert [tuple(view.shape) for view in views['inputs']] == [(3, 3, 4), (3, 6, 8), (3, 12, 16)]


def test_a_flip_of_a_symmetric_image_is_another_view():
    views = transform([], flips(1.0, 0.0))(item(np.full((4, 4, 3), 7, np.uint8)))
    assert marks(views) == [(False, True), (True, True)]


def test_pipeline_without_views(image):
    init_default_scope('mmseg')
    both = TRANSFORMS.build(dict(type='bana_mm.PlainAndAugmented', plain=[PACK], augmented=[PACK]))
    with pytest.raises(TypeError, match='must end with TestTimeAug.* it made a Tensor'):
        both(item(image))
