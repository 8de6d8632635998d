# COCO images with boxes, augmented as VOC images in the reference code: scale, crop, flip, colour. No masks are read.
dataset_type = 'bana_mm.CocoBoxDataset'
data_root = '{{$COCO_ROOT:data/coco}}'
crop_size = (321, 321)
backend_args = None

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='bana_mm.CheckImageSize'),
    dict(type='LoadAnnotations', with_bbox=True),
    # COCO images are 640 pixels long, so this scales them by U(0.5, 1.5)
    dict(type='RandomResize', scale=(640, 640), ratio_range=(0.5, 1.5), keep_ratio=True),
    # smaller images get into the middle; a crop without boxes still trains the background class
    dict(type='bana_mm.PaddedRandomCrop', crop_size=crop_size, allow_negative_crop=True),
    dict(type='bana_mm.IgnoreSmallBoxes', min_size=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='bana_mm.ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5),
    dict(type='PackDetInputs'),
]
# Labels are made at the image's own size: no resizing here.
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='bana_mm.CheckImageSize'),
    dict(type='LoadAnnotations', with_bbox=True, with_seg=True, imdecode_backend='pillow'),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction'),
    ),
]
train_dataloader = dict(
    batch_size=20,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='bana_mm.PseudoLabelMetric')
test_evaluator = val_evaluator
