# Stage 1 of the demonstration: a small ResNet from scratch on the synthetic data set.
_base_ = ['../_base_/datasets/voc_box.py', '../_base_/default_runtime_det.py']
root = '{{$DEMO_ROOT:work_dirs/demo}}'
work_dir = root + '/bap'

data_root = root + '/data'
metainfo = dict(classes=('ring', 'triangle', 'cross', 'star', 'animal'))
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        pipeline=dict(resize=dict(scale=(128, 128), ratio_range=(0.75, 1.25)), crop=dict(crop_size=(96, 96))),
    ),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader

model = dict(
    type='bana_mm.BoxClassifier',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    # three stages without stride behind the stem: output stride 4
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=18,
        stem_channels=32,
        base_channels=16,
        num_stages=3,
        strides=(1, 1, 1),
        dilations=(1, 1, 2),
        out_indices=(2,),
        norm_cfg=dict(type='BN'),
    ),
    bap_head=dict(
        type='bana_mm.BAPHead', num_classes=len(metainfo['classes']), in_channels=64, stride=4, pooling='bap'
    ),
    # The images are a quarter as large as VOC's, and so are the CRF's distances; the objects are textured, which asks
    # for wider colours.
    label_recipe=dict(background='attention', crf=dict(bilateral=(4, 15, 13), gaussian=(3, 1))),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'bap_head': dict(lr_mult=5.0)}),
)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=800)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=800)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=200, max_keep_ckpts=1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
