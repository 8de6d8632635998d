# Stage 3 of the demonstration: the noise-aware loss on the labels of demo_bap.py.
_base_ = ['../_base_/datasets/voc_pseudo.py', '../_base_/default_runtime_seg.py']
root = '{{$DEMO_ROOT:work_dirs/demo}}'
work_dir = root + '/nal'

data_root = root + '/data'
metainfo = dict(classes=('ring', 'triangle', 'cross', 'star', 'animal'))
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        pseudo_labels=dict(config='configs/demo/demo_bap.py', dir=root + '/labels_bap'),
        pipeline=dict(resize=dict(scale=(128, 128), ratio_range=(0.75, 1.25)), crop=dict(crop_size=(96, 96))),
    ),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader
test_evaluator = dict(crf=dict(bilateral=(4, 15, 13), gaussian=(3, 1)))

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(96, 96),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        stem_channels=32,
        base_channels=16,
        num_stages=3,
        strides=(1, 1, 1),
        dilations=(1, 1, 2),
        out_indices=(2,),
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(
        type='bana_mm.CosineDecodeHead',
        temperature=20.0,
        head=dict(
            type='FCNHead',
            in_channels=64,
            in_index=0,
            channels=64,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.0,
            num_classes=1 + len(metainfo['classes']),
            norm_cfg=dict(type='BN'),
            align_corners=True,
            loss_decode=dict(type='bana_mm.NoiseAwareLoss'),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-4))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=1000)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=200, max_keep_ckpts=1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
