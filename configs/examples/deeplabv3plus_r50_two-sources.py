# A data set of one's own in mmseg's layout, and two sources of labels in it: the images of masked.txt have masks, those
# of boxed.txt have boxes alone, of which tools/generate_labels.py has made label maps (docs/mixing.md).
_base_ = [
    '../_base_/models/deeplabv3plus_r50.py',
    '../_base_/schedules/seg_sgd_20k.py',
    '../_base_/default_runtime_seg.py',
]
data_root = 'data/zoo'
label_dir = 'work_dirs/bap_vgg16_voc_zoo_voc/labels'
crop_size = (512, 512)
common = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=('background', 'lion', 'zebra')),
    img_suffix='.jpg',
)
augmentation = [
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='bana_mm.PackBoxSegInputs'),
]
masked = dict(
    **common,
    ann_file='ImageSets/Segmentation/masked.txt',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    # no reliable region is loaded, so every pixel is reliable
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), *augmentation],
)
boxed = dict(
    **common,
    ann_file='ImageSets/Segmentation/boxed.txt',
    data_prefix=dict(img_path='JPEGImages'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='bana_mm.BoxPseudoLabel', label_dir=label_dir, num_classes=2),
        *augmentation,
    ],
)
# How the labels in label_dir are made; a training without them stops and prints the commands.
pseudo_labels = dict(
    config='configs/bana/bap_vgg16_voc.py', data='configs/own_data/zoo_voc.py', dir=label_dir, split='boxed'
)
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    # each masked image comes as often as five boxed ones
    dataset=dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=5, dataset=masked), boxed]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **common,
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(2048, 512), keep_ratio=True),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
