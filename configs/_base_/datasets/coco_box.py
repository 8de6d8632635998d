# COCO images with boxes, augmented as VOC images in the reference code: scale, crop, flip, colour. No masks are read.
dataset_type = 'bana_mm.CocoBoxDataset'
data_root = '{{$COCO_ROOT:data/coco}}'
backend_args = None

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
        # Steps have names, by which an inheriting config changes them: pipeline=dict(crop=dict(crop_size=(225, 225)))
        pipeline=dict(
            order=('load', 'check', 'boxes', 'resize', 'crop', 'small_boxes', 'flip', 'color', 'pack'),
            load=dict(type='LoadImageFromFile', backend_args=backend_args),
            check=dict(type='bana_mm.CheckImageSize'),
            boxes=dict(type='LoadAnnotations', with_bbox=True),
            # COCO images are 640 pixels long, so this scales them by U(0.5, 1.5)
            resize=dict(type='RandomResize', scale=(640, 640), ratio_range=(0.5, 1.5), keep_ratio=True),
            # smaller images get into the middle; a crop without boxes still trains the background class
            crop=dict(type='bana_mm.PaddedRandomCrop', crop_size=(321, 321), allow_negative_crop=True),
            small_boxes=dict(type='bana_mm.IgnoreSmallBoxes', min_size=1.0),
            flip=dict(type='RandomFlip', prob=0.5),
            color=dict(type='bana_mm.ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5),
            pack=dict(type='PackDetInputs'),
        ),
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
