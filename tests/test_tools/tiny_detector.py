"""A small Mask R-CNN of mmdet and images in COCO's format for it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

REPO = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{REPO}/configs/_base_/default_runtime_det.py'
norm = dict(type='BN', requires_grad=True)
roi = dict(
    type='SingleRoIExtractor', out_channels=8, featmap_strides=[4, 8, 16, 32],
    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0))
assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True)
sampler = dict(type='RandomSampler', num=16, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=True)
model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[128.] * 3, std=[64.] * 3, pad_mask=True,
                           pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm, norm_eval=False),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=4),
    rpn_head=dict(
        type='RPNHead', in_channels=8, feat_channels=8,
        anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32])),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=roi,
        bbox_head=dict(type='Shared2FCBBoxHead', in_channels=8, fc_out_channels=16, roi_feat_size=7, num_classes=2),
        mask_roi_extractor=roi,
        mask_head=dict(type='FCNMaskHead', num_convs=1, in_channels=8, conv_out_channels=8, num_classes=2)),
    train_cfg=dict(
        rpn=dict(assigner=assigner, sampler=sampler, allowed_border=-1, pos_weight=-1),
        rpn_proposal=dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(assigner=assigner, sampler=sampler, mask_size=14, pos_weight=-1)),
    test_cfg=dict(
        rpn=dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5, mask_thr_binary=0.5)))
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
dataset = dict(type='CocoDataset', data_root='coco', ann_file='boxes.json', data_prefix=dict(img=''),
               metainfo=dict(classes=('cat', 'dog')))
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler'),
    dataset=dict(pipeline=[*load, dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')], **dataset))
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, **dataset, pipeline=[
        load[0], dict(type='Resize', scale=(64, 64), keep_ratio=True), load[1],
        dict(type='PackDetInputs', meta_keys=meta_keys)]))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file='coco/boxes.json', metric=['bbox', 'segm'])
test_evaluator = val_evaluator
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(visualization=dict(type='DetVisualizationHook', score_thr=0.), logger=dict(interval=1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""


def write_coco(root):
    """Three images with one object each, of classes 7 (cat) and 9 (dog)."""
    root.mkdir()
    images, annotations = [], []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(root / f'{number}.jpg')
        images.append(dict(id=number, file_name=f'{number}.jpg', width=64, height=48))
        x, y, w, h = 8 + 4 * number, 6, 30, 28
        annotations.append(
            dict(
                id=number + 1,
                image_id=number,
                category_id=(7, 9)[number % 2],
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
            )
        )
    categories = [dict(id=7, name='cat'), dict(id=9, name='dog')]
    (root / 'boxes.json').write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
