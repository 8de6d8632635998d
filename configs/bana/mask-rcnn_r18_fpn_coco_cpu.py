# A recipe for two CPU cores that shows that the path trains: a small Mask R-CNN learns the first 20 images by heart,
# from scratch, from their pseudo masks, and is tested on their true ones. COCO_ROOT is any folder in COCO's layout,
# LABEL_JSON what tools/generate_labels.py made of its annotations/instances_train2017.json.
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
num_images = 20
scale = (320, 320)
label_json = '{{$LABEL_JSON:work_dirs/bap_vgg16_coco_cpu/labels_train2017.json}}'
pseudo_labels = dict(config='configs/bana/bap_vgg16_coco_cpu.py', json=label_json)
norm_cfg = dict(type='GN', num_groups=16, requires_grad=True)
model = dict(
    backbone=dict(depth=18, frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, norm_cfg=norm_cfg),
    # images are half as large as usual, and so are the anchors
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=64, finest_scale=28),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)
train_pipeline = _base_.train_pipeline
train_pipeline[4].update(scale=scale)
train_pipeline[5].update(prob=0.0)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)
# the metric takes the truth from the images, as it would otherwise count those that are not there
test_pipeline[3].update(meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        ann_file=label_json, made_by=pseudo_labels, filter_cfg=None, indices=num_images, pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        indices=num_images,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4), clip_grad=dict(max_norm=10.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=400, milestones=[320], gamma=0.1),
]
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=400, val_interval=100)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=10, log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=200))
log_processor = dict(by_epoch=False)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
