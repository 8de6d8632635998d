# VOC images with pseudo labels, augmented as in the reference code: scale, crop, flip, colour.
dataset_type = 'bana_mm.VOCBoxDataset'
data_root = '{{$VOC_ROOT:data/VOCdevkit/VOC2012}}'
backend_args = None
# As in voc_box.py; boxes matter here to labels made on the fly.
difficult = 'keep'

# Single scale, at the image's own size.
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# --tta: the reference code's eight views, which stand behind its numbers "after CRF".
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (0.5, 0.75, 1.0, 1.5)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
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
        background_class=True,
        # What is trained on, and where it comes from: the classifier's config, its checkpoint (None: the last one of a
        # training with that config), and the folder of the labels. Y_crf is the label, reliable where Y_ret agrees;
        # maps=('Y_crf',) takes Y_crf as it is. source='box' or 'grabcut' with dir=None needs no stored labels. Images
        # of a list mask_split take their masks.
        pseudo_labels=dict(
            config='configs/bana/bap_vgg16_voc.py',
            checkpoint=None,
            dir='{{$LABEL_DIR:work_dirs/bap_vgg16_voc/labels}}',
            maps=('Y_crf', 'Y_ret'),
        ),
        # Steps have names, by which an inheriting config changes them: pipeline=dict(crop=dict(crop_size=(225, 225)))
        pipeline=dict(
            order=('load', 'labels', 'resize', 'crop', 'flip', 'color', 'pack'),
            load=dict(type='LoadImageFromFile', backend_args=backend_args),
            labels=dict(type='bana_mm.BoxPseudoLabel'),
            # VOC images are 500 pixels long, so this scales them by U(0.5, 1.5)
            resize=dict(type='RandomResize', scale=(500, 500), ratio_range=(0.5, 1.5), keep_ratio=True),
            # smaller images get into the middle
            crop=dict(type='bana_mm.PaddedSegRandomCrop', crop_size=(321, 321)),
            flip=dict(type='RandomFlip', prob=0.5),
            color=dict(type='bana_mm.ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5),
            pack=dict(type='bana_mm.PackBoxSegInputs'),
        ),
    ),
)
# Masks come from SegmentationClassAug. Official scores ignore the 255 along the objects' borders: if your copy lacks
# them, set dataset.data_prefix.seg_map_path='SegmentationClass'.
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Segmentation/val.txt',
        difficult=difficult,
        background_class=True,
        require_masks=True,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
# with_crf=True adds the scores after the CRF, whose parameters the model's config gives.
test_evaluator = dict(type='bana_mm.DenseCRFIoUMetric', iou_metrics=['mIoU'], with_crf=False)
