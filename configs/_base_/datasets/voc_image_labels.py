# VOC images with the classes that their boxes name; boxes are read for nothing else.
dataset_type = 'bana_mm.VOCBoxDataset'
data_root = '{{$VOC_ROOT:data/VOCdevkit/VOC2012}}'
backend_args = None

# Activation maps are made at the image's own size: no resizing here. Masks are loaded where they exist.
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_seg=True, imdecode_backend='pillow'),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction'),
    ),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Segmentation/train_aug.txt',
        # the image labels in common use count objects that are marked difficult
        difficult='keep',
        # Steps have names, by which an inheriting config changes them: pipeline=dict(crop=dict(crop_size=(225, 225)))
        pipeline=dict(
            order=('load', 'boxes', 'image_labels', 'resize', 'crop', 'flip', 'pack'),
            load=dict(type='LoadImageFromFile', backend_args=backend_args),
            boxes=dict(type='LoadAnnotations', with_bbox=True),
            # before the crop: the classes of those boxes that survive it would tell where objects are
            image_labels=dict(type='bana_mm.ImageLabels'),
            # the longer side has U(320, 640) pixels
            resize=dict(type='RandomResize', scale=(480, 480), ratio_range=(2 / 3, 4 / 3), keep_ratio=True),
            crop=dict(type='RandomCrop', crop_size=(512, 512), allow_negative_crop=True),
            flip=dict(type='RandomFlip', prob=0.5),
            pack=dict(type='bana_mm.PackBoxDetInputs'),
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
        difficult='keep',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
# figures of train: --cfg-options test_dataloader.dataset.ann_file=ImageSets/Segmentation/train.txt
test_dataloader = val_dataloader
val_evaluator = dict(type='bana_mm.ActivationMapMetric', levels=(0.14,))
test_evaluator = val_evaluator
