# RTMDet-Ins (tiny) on the labels of mask-rcnn_r101_fpn_coco2coco.py, with the dice loss on the reliable region (ours);
# 12 epochs and plain augmentation, where the published models have 300, mosaic and mix-up.
_base_ = [
    '../_base_/datasets/coco_pseudo_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime_instance.py',
]
norm_cfg = dict(type='BN')
image_size = (640, 640)
grey = dict(img=(114, 114, 114))
model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='CSPNeXt',
        arch='P5',
        expand_ratio=0.5,
        deepen_factor=0.167,
        widen_factor=0.375,
        channel_attention=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='SiLU', inplace=True),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/'
            'cspnext-tiny_imagenet_600e.pth',
        ),
    ),
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[96, 192, 384],
        out_channels=96,
        num_csp_blocks=1,
        expand_ratio=0.5,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='SiLU', inplace=True),
    ),
    bbox_head=dict(
        type='bana_mm.ReliableRTMDetInsSepBNHead',
        num_classes=80,
        in_channels=96,
        stacked_convs=2,
        share_conv=True,
        pred_kernel_size=1,
        feat_channels=96,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='SiLU', inplace=True),
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_mask=dict(type='DiceLoss', loss_weight=2.0, eps=5e-6, reduction='mean'),
    ),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1, pos_weight=-1, debug=False
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100,
        mask_thr_binary=0.5,
    ),
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        pipeline=dict(
            order=('load', 'check', 'masks', 'unreliable', 'resize', 'crop', 'empty', 'color', 'flip', 'pad', 'pack'),
            resize=dict(_delete_=True, type='RandomResize', scale=image_size, ratio_range=(0.5, 2.0), keep_ratio=True),
            crop=dict(type='RandomCrop', crop_size=image_size, recompute_bbox=True, allow_negative_crop=True),
            empty=dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1)),
            color=dict(type='YOLOXHSVRandomAug'),
            pad=dict(type='Pad', size=image_size, pad_val=grey),
        )
    ),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='bana_mm.CheckImageSize'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='Pad', size=image_size, pad_val=grey),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
# mmdet's 4e-3 for batches of 256, scaled down to 16
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2.5e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
)
