"""Pseudo masks from a COCO file, through mmdet's pipelines."""

import json

import cv2
import numpy as np
import pycocotools.mask
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope

from bana_mm.structures import ReliableMasks

H, W = 40, 60
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
PACK = dict(type='PackDetInputs')


def rle(mask):
    counts = pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(mask.shape), counts=counts['counts'].decode())


def runs(mask):
    """Run lengths that are not compressed."""
    counts, last, number = [], 0, 0
    for value in mask.T.flatten().tolist():
        if value != last:
            counts.append(number)
            last, number = value, 0
        number += 1
    return dict(size=list(mask.shape), counts=[*counts, number])


@pytest.fixture
def planes():
    """Mask and unreliable pixels of three instances."""
    return (np.random.default_rng(0).random((2, 3, H, W)) > 0.5).astype(np.uint8)


@pytest.fixture
def content(planes):
    """Two images; the first has three instances (one without unreliable pixels), a crowd and a narrow box."""
    boxes = [[5, 5, 30, 20], [0, 0, 60, 40], [20, 10, 25, 25]]
    annotations = [
        dict(
            id=10 + i,
            image_id=7,
            category_id=[3, 90, 3][i],
            bbox=box,
            area=box[2] * box[3],
            iscrowd=0,
            segmentation=rle(planes[0, i]),
            unreliable=rle(planes[1, i]),
            score=0.5,
        )
        for i, box in enumerate(boxes)
    ]
    del annotations[1]['unreliable']
    annotations.insert(1, dict(id=30, image_id=7, category_id=3, bbox=[1, 1, 9, 9], area=81, iscrowd=1))
    annotations.append(dict(id=31, image_id=7, category_id=3, bbox=[1, 1, 0.5, 9], area=4.5, iscrowd=0))
    images = [dict(id=7, file_name='a.png', height=H, width=W), dict(id=2, file_name='b.png', height=W, width=H)]
    return dict(images=images, annotations=annotations, categories=[dict(id=90, name='dog'), dict(id=3, name='cat')])


@pytest.fixture
def build(tmp_path, content):
    """A data set of the content as it is by then."""
    for image in content['images']:
        cv2.imwrite(str(tmp_path / image['file_name']), np.zeros((image['height'], image['width'], 3), np.uint8))

    def build(*pipeline, type='bana_mm.CocoPseudoMaskDataset', **settings):
        (tmp_path / 'labels.json').write_text(json.dumps(content))
        return DATASETS.build(
            dict(
                dict(
                    type=type,
                    ann_file=str(tmp_path / 'labels.json'),
                    data_prefix=dict(img=str(tmp_path)),
                    metainfo=dict(classes=('cat', 'dog')),
                    pipeline=list(pipeline),
                ),
                **settings,
            )
        )

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield build


def test_items(build, content):
    item = build().get_data_info(0)
    assert [(one['ann_id'], one['bbox_label'], one['ignore_flag']) for one in item['instances']] == [
        (10, 0, 0),
        (30, 0, 1),
        (11, 1, 0),
        (12, 0, 0),
    ]
    given = {annotation['id']: annotation for annotation in content['annotations']}
    for instance in item['instances']:
        annotation = given[instance['ann_id']]
        assert instance['mask'] == annotation.get('segmentation', [])
        assert instance.get('unreliable') == annotation.get('unreliable')


def test_loaded(build, planes):
    sample = build(*LOAD, dict(type='bana_mm.LoadUnreliable'), PACK)[0]['data_samples']
    masks = sample.gt_instances.masks
    assert isinstance(masks, ReliableMasks) and sample.gt_instances.labels.tolist() == [0, 1, 0]
    assert np.array_equal(masks.masks, planes[0])
    assert np.array_equal(masks.unreliable.masks[[0, 2]], planes[1, [0, 2]]) and not masks.unreliable.masks[1].any()
    assert len(sample.ignored_instances.masks) == 1


def test_images_without_instances(build):
    assert len(build()) == 2 and len(build(filter_cfg=dict(filter_empty_gt=True))) == 1
    sample = build(*LOAD, dict(type='bana_mm.LoadUnreliable'), dict(type='Resize', scale=(30, 20)), PACK)[1]
    assert isinstance(sample['data_samples'].gt_instances.masks, ReliableMasks)
    assert len(sample['data_samples'].gt_instances) == 0


@pytest.mark.parametrize(
    'pipeline',
    [
        [
            dict(type='Resize', scale=(90, 90), keep_ratio=True),
            dict(type='RandomFlip', prob=1.0),
            dict(type='Pad', size=(70, 95)),
        ],
        [dict(type='RandomFlip', prob=1.0, direction='diagonal'), dict(type='RandomCrop', crop_size=(30, 30))],
        [
            dict(type='RandomResize', scale=(80, 80), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='MinIoURandomCrop'),
            dict(type='Expand', mean=(0, 0, 0)),
        ],
        [dict(type='Rotate', prob=1.0), dict(type='ShearX', prob=1.0), dict(type='TranslateY', prob=1.0)],
        [dict(type='FixScaleResize', scale=(90, 80)), dict(type='PhotoMetricDistortion')],
    ],
)
def test_planes_stay_aligned(build, content, planes, pipeline):
    """With the same pixels in both planes, they must be the same after any transforms."""
    for annotation in content['annotations']:
        if 'segmentation' in annotation:
            annotation['unreliable'] = annotation['segmentation']
    masks = build(*LOAD, dict(type='bana_mm.LoadUnreliable'), *pipeline, PACK)[0]['data_samples'].gt_instances.masks
    assert isinstance(masks, ReliableMasks)
    assert np.array_equal(masks.masks, masks.unreliable.masks)


def test_mosaic_and_mix_up(build, content):
    for annotation in content['annotations']:
        if 'segmentation' in annotation:
            annotation['unreliable'] = annotation['segmentation']
    dataset = build(*LOAD, dict(type='bana_mm.LoadUnreliable'))
    for mix in ('CachedMosaic', 'CachedMixUp'):
        mix = dict(type=mix, img_scale=(64, 64), pad_val=0.0)
        wrapped = DATASETS.build(dict(type='MultiImageMixDataset', dataset=dataset, pipeline=[mix, PACK]))
        masks = [wrapped[0] for _ in range(5)][-1]['data_samples'].gt_instances.masks
        assert isinstance(masks, ReliableMasks) and np.array_equal(masks.masks, masks.unreliable.masks)


def test_copy_paste_is_an_error(build):
    wrapped = DATASETS.build(
        dict(
            type='MultiImageMixDataset',
            dataset=build(*LOAD, dict(type='bana_mm.LoadUnreliable')),
            pipeline=[dict(type='CopyPaste', max_num_pasted=5)],
        )
    )
    with pytest.raises(TypeError, match='CopyPaste and Albu do'):
        for _ in range(20):
            wrapped[0]


def test_other_kinds_of_masks(build, content, planes):
    polygon = [[5.0, 5, 25, 5, 25, 25, 5, 25]]
    first, second = content['annotations'][0], content['annotations'][2]
    first.update(segmentation=polygon, unreliable=runs(planes[1, 0]))
    second.update(segmentation=runs(planes[0, 1]), unreliable=None)
    masks = build(*LOAD, dict(type='bana_mm.LoadUnreliable'), PACK)[0]['data_samples'].gt_instances.masks
    square = np.zeros((H, W), np.uint8)
    square[5:25, 5:25] = 1
    assert np.array_equal(masks.masks[0], square) and np.array_equal(masks.unreliable.masks[0], planes[1, 0])
    assert np.array_equal(masks.masks[1], planes[0, 1]) and not masks.unreliable.masks[1].any()


@pytest.mark.parametrize('type', ['CocoDataset', 'bana_mm.CocoPseudoMaskDataset'])
def test_stock_pipeline(build, content, planes, type):
    """The file is one for mmdet too; whoever does not load the unreliable pixels takes all for reliable."""
    content['categories'].reverse()  # mmdet's labels are in the order of the file
    content['annotations'] = [one for one in content['annotations'] if not one['iscrowd']]
    sample = build(*LOAD, PACK, type=type)[0]['data_samples']
    assert np.array_equal(sample.gt_instances.masks.masks, planes[0])
    assert not isinstance(sample.gt_instances.masks, ReliableMasks)
    assert sample.gt_instances.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(segmentation=None), r'labels.json: annotation 10: no segmentation; make masks'),
        (dict(segmentation=[]), 'annotation 10: no segmentation'),
        (dict(segmentation=dict(size=[W, H], counts='0')), r'height and width \[60, 40\], but the image \[40, 60\]'),
        (
            dict(segmentation=dict(size=7, counts='0')),
            'labels.json: annotation 10: .*height and width 7, but the image',
        ),
        (dict(unreliable=dict(size=None, counts='0')), 'labels.json: annotation 10: unreliable has height and width'),
        (dict(segmentation=dict(size=[H, W])), 'segmentation must be run lengths, with size and counts'),
        (dict(unreliable=[[1, 2, 3, 4, 5, 6]]), 'unreliable must be run lengths'),
        (dict(unreliable=dict(size=[1, 2], counts='0')), r'unreliable has height and width \[1, 2\]'),
    ],
)
def test_bad_masks(build, content, change, message):
    content['annotations'][0].update(change)
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ([5, 7], r'sum to 12, but the mask has 40 x 60 pixels'),
        ([5, H * W], r'sum to 2405, but the mask has 40 x 60 pixels'),
        (pycocotools.mask.encode(np.ones((H, W + 1), np.uint8, order='F'))['counts'].decode(), r'sum to 2440'),
        ('0', 'sum to 0'),
    ],
)
def test_too_few_or_too_many_unreliable_pixels(build, content, counts, message):
    """Pycocotools would read past the end."""
    content['annotations'][0]['unreliable'] = dict(size=[H, W], counts=counts)
    dataset = build(*LOAD, dict(type='bana_mm.LoadUnreliable'))
    with pytest.raises(
        ValueError, match=rf'a\.png: unreliable pixels of annotation 10 do not fit its mask .*{message}'
    ):
        dataset[0]


def test_missing_file(build, tmp_path):
    config = tmp_path / 'stage1.py'
    config.write_text("train_cfg = dict(max_iters=5)\nwork_dir = 'wd'")
    labels = dict(config=str(config), checkpoint=None, boxes='boxes.json', json='no.json')
    with DefaultScope.overwrite_default_scope('mmdet'), pytest.raises(FileNotFoundError) as caught:
        DATASETS.build(dict(type='bana_mm.CocoPseudoMaskDataset', pseudo_labels=labels))
    assert str(caught.value).splitlines()[1:3] == [
        f'    python tools/train.py {config}',
        f'    python tools/generate_labels.py {config} wd/iter_5.pth --coco boxes.json --out no.json',
    ]


def test_file_of_the_pseudo_labels(build, tmp_path):
    """It lies where its path says, whatever data_root is; a named file comes first."""
    labels = dict(json=str(tmp_path / 'labels.json'))
    (tmp_path / 'root').mkdir()
    dataset = build(ann_file='', data_root=str(tmp_path / 'root'), pseudo_labels=labels)
    assert dataset.ann_file == labels['json'] and dataset.pseudo_labels == labels
    assert build(pseudo_labels=dict(json='elsewhere.json')).ann_file == labels['json']
    with (
        DefaultScope.overwrite_default_scope('mmdet'),
        pytest.raises(ValueError, match='set ann_file, or pseudo_labels'),
    ):
        DATASETS.build(dict(type='bana_mm.CocoPseudoMaskDataset'))


def test_order_of_transforms(build):
    load = dict(type='bana_mm.LoadUnreliable')
    with pytest.raises(ValueError, match='right after LoadAnnotations'):
        build(*LOAD, dict(type='Resize', scale=(20, 20)), load)[0]
    with pytest.raises(TypeError, match='with_mask=True and poly2mask=True, but gt_masks is NoneType'):
        build(LOAD[0], dict(type='LoadAnnotations', with_bbox=True), load)[0]
    with pytest.raises(TypeError, match='PolygonMasks'):
        build(LOAD[0], dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False), load)[0]


def test_tensors(build, planes):
    masks = build(*LOAD, dict(type='bana_mm.LoadUnreliable'), PACK)[0]['data_samples'].gt_instances.masks
    assert torch.equal(masks.to_tensor(torch.uint8, 'cpu'), torch.from_numpy(planes[0]))
