# COCO images with pseudo masks for training; true masks for evaluation.
data_root = '{{$COCO_ROOT:data/coco}}'
backend_args = None

test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='bana_mm.CheckImageSize'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='bana_mm.CocoPseudoMaskDataset',
        # The file with the masks, and where it comes from: the classifier's config, its checkpoint (None: the last one
        # of a training with that config), and the file of the boxes.
        pseudo_labels=dict(
            config='configs/bana/bap_vgg16_coco.py',
            checkpoint=None,
            json='{{$LABEL_JSON:work_dirs/bap_vgg16_coco/labels_train2017.json}}',
            boxes=data_root + '/annotations/instances_train2017.json',
        ),
        data_prefix=dict(img=data_root + '/train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        # Steps have names, by which an inheriting config changes them: pipeline=dict(flip=dict(prob=0.0))
        pipeline=dict(
            order=('load', 'check', 'masks', 'unreliable', 'resize', 'flip', 'pack'),
            load=dict(type='LoadImageFromFile', backend_args=backend_args),
            check=dict(type='bana_mm.CheckImageSize'),
            masks=dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            # the mask loss leaves unreliable pixels out; with unreliable=None all pixels count
            unreliable=dict(type='bana_mm.LoadUnreliable'),
            resize=dict(type='Resize', scale=(1333, 800), keep_ratio=True),
            flip=dict(type='RandomFlip', prob=0.5),
            pack=dict(type='PackDetInputs'),
        ),
        backend_args=backend_args,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + '/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
    backend_args=backend_args,
)
test_evaluator = val_evaluator
