# VOC images with boxes, augmented as in the reference code: scale, crop, flip, colour.
dataset_type = 'bana_mm.VOCBoxDataset'
data_root = '{{$VOC_ROOT:data/VOCdevkit/VOC2012}}'
backend_args = None
# Reference code: objects that VOC marks difficult, one in eight, are boxes like any other. 'ignore' makes them neither
# object nor background.
difficult = 'keep'

# Labels are made at the image's own size: no resizing here. Masks are loaded where they exist.
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
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
        ann_file='ImageSets/Segmentation/train_aug.txt',
        difficult=difficult,
        # Steps have names, by which an inheriting config changes them: pipeline=dict(crop=dict(crop_size=(225, 225)))
        pipeline=dict(
            order=('load', 'boxes', 'resize', 'crop', 'small_boxes', 'flip', 'color', 'pack'),
            load=dict(type='LoadImageFromFile', backend_args=backend_args),
            boxes=dict(type='LoadAnnotations', with_bbox=True),
            # VOC images are 500 pixels long, so this scales them by U(0.5, 1.5)
            resize=dict(type='RandomResize', scale=(500, 500), ratio_range=(0.5, 1.5), keep_ratio=True),
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
        ann_file='ImageSets/Segmentation/val.txt',
        difficult=difficult,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='bana_mm.PseudoLabelMetric')
test_evaluator = val_evaluator
