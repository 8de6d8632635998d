# Sizes for two CPU cores, small crops and few iterations, with which the figures in docs/results were measured. Any
# config takes them (--preset cpu); each part goes where `when` says.
crop_size = (225, 225)
scale = (320, 320)
num_images = 20
norm_cfg = dict(type='GN', num_groups=16, requires_grad=True)
# True masks with the images: the metric takes the ground truth from them, as it would otherwise count those left out.
instance_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]

overrides = dict(
    every=dict(set=dict(env_cfg=dict(dist_cfg=dict(backend='gloo')))),
    logs=dict(
        when={'default_hooks.logger.type': 'LoggerHook', 'default_hooks.checkpoint.type': 'CheckpointHook'},
        set=dict(default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=100))),
    ),
    # A VGG-16 in place of a ResNet. Crops show most of an image, as its labels are those of the whole.
    image_classifier=dict(
        when={'model.type': ('bana_mm.ImageClassifier', 'bana_mm.SEAMClassifier')},
        set=dict(
            model=dict(
                data_preprocessor=dict(
                    mean=[103.939, 116.779, 123.68],
                    std=[1.0, 1.0, 1.0],
                    bgr_to_rgb=False,
                    batch_augments=[dict(type='BatchFixedSizePad', size=crop_size)],
                ),
                backbone=dict(
                    _delete_=True,
                    type='bana_mm.VGG16LargeFOV',
                    fc6_dilation=1,
                    pretrained='{{$VGG16_WEIGHTS:open-mmlab://vgg16_caffe}}',
                ),
                head=dict(in_channels=1024),
                dropout=0.0,  # the backbone has its own
                stride=8,
                activations=dict(scales=(1.0, 0.5)),
            ),
            train_dataloader=dict(
                batch_size=8,
                num_workers=1,
                dataset=dict(pipeline=dict(resize=dict(scale=(240, 240)), crop=dict(crop_size=crop_size))),
            ),
            optim_wrapper=dict(
                constructor='bana_mm.NewLayersOptimWrapperConstructor',
                optimizer=dict(lr=1e-3, momentum=0.9, weight_decay=5e-4),
                paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0, new_layer_lr_mult=10.0),
            ),
            param_scheduler=[dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=420, by_epoch=False)],
            train_cfg=dict(max_iters=420, val_interval=420),
            auto_scale_lr=dict(base_batch_size=8),
        ),
    ),
    seam=dict(
        when={'model.type': 'bana_mm.SEAMClassifier'},
        set=dict(model=dict(correlation=dict(in_channels=(), channels=()))),
    ),
    vgg16=dict(
        when={'model.backbone.type': 'bana_mm.VGG16LargeFOV'},
        set=dict(model=dict(backbone=dict(channels_last=True))),
    ),
    classifier=dict(
        when={'model.type': 'bana_mm.BoxClassifier'},
        set=dict(
            train_dataloader=dict(
                batch_size=8, num_workers=1, dataset=dict(pipeline=dict(crop=dict(crop_size=crop_size)))
            ),
            # So few iterations of small batches need the paper's learning rates: 1e-4 and, for new layers, 1e-3.
            optim_wrapper=dict(optimizer=dict(lr=1e-4)),
            param_scheduler=[],
            train_cfg=dict(max_iters=420, val_interval=420),
            auto_scale_lr=dict(base_batch_size=8),
        ),
    ),
    deeplab=dict(
        when={'model.type': 'EncoderDecoder'},
        set=dict(
            train_dataloader=dict(batch_size=8, num_workers=1),
            val_dataloader=dict(num_workers=1),
            test_dataloader=dict(num_workers=1),
            param_scheduler=[dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=400, by_epoch=False)],
            train_cfg=dict(max_iters=400, val_interval=400),
            auto_scale_lr=dict(base_batch_size=8),
        ),
    ),
    deeplab_crop=dict(
        when={
            'model.type': 'EncoderDecoder',
            'train_dataloader.dataset.pipeline.crop.type': ('RandomCrop', 'bana_mm.PaddedSegRandomCrop'),
        },
        set=dict(
            train_dataloader=dict(dataset=dict(pipeline=dict(crop=dict(crop_size=crop_size)))),
            model=dict(data_preprocessor=dict(size=crop_size)),
        ),
    ),
    deeplabv2=dict(
        when={'model.type': 'EncoderDecoder', 'model.backbone.type': ('ResNet', 'bana_mm.DeepLabResNet')},
        set=dict(
            train_dataloader=dict(batch_size=4),
            param_scheduler=[dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=300, by_epoch=False)],
            train_cfg=dict(max_iters=300, val_interval=300),
            auto_scale_lr=dict(base_batch_size=4),
        ),
    ),
    confidence_maps=dict(
        when={'default_hooks.confidence.type': 'bana_mm.ConfidenceMapHook'},
        set=dict(default_hooks=dict(confidence=dict(epochs=None, iterations=(0, 100, 200, 300, 400)))),
    ),
    # Shows that the path trains: it overfits the first 20 images, and is tested on their true masks.
    instances=dict(
        when={'train_dataloader.dataset.type': 'bana_mm.CocoPseudoMaskDataset'},
        set=dict(
            train_dataloader=dict(
                batch_size=4,
                num_workers=1,
                sampler=dict(type='InfiniteSampler'),
                dataset=dict(
                    filter_cfg=None,
                    indices=num_images,
                    pipeline=dict(resize=dict(scale=scale), flip=dict(prob=0.0)),
                ),
            ),
            val_dataloader=dict(
                num_workers=1,
                dataset=dict(
                    ann_file='annotations/instances_train2017.json',
                    data_prefix=dict(img='train2017/'),
                    indices=num_images,
                    pipeline=instance_pipeline,
                ),
            ),
            test_dataloader=dict(
                num_workers=1,
                dataset=dict(
                    ann_file='annotations/instances_train2017.json',
                    data_prefix=dict(img='train2017/'),
                    indices=num_images,
                    pipeline=instance_pipeline,
                ),
            ),
            val_evaluator=dict(ann_file=None),
            test_evaluator=dict(ann_file=None),
            optim_wrapper=dict(
                optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4), clip_grad=dict(max_norm=10.0)
            ),
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
                dict(type='MultiStepLR', by_epoch=False, begin=0, end=400, milestones=[320], gamma=0.1),
            ],
            train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=400, val_interval=100),
            auto_scale_lr=dict(base_batch_size=4),
            default_hooks=dict(logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=200)),
            log_processor=dict(by_epoch=False),
        ),
    ),
    # A small network from scratch; images are half as large as usual, and so are the anchors.
    mask_rcnn=dict(
        when={'model.type': 'MaskRCNN'},
        set=dict(
            model=dict(
                backbone=dict(depth=18, frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
                neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, norm_cfg=norm_cfg),
                rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
                roi_head=dict(
                    bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
                    bbox_head=dict(in_channels=64, fc_out_channels=256),
                    mask_roi_extractor=dict(out_channels=64, finest_scale=28),
                    mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64),
                ),
                train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=128))),
                test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
            ),
        ),
    ),
)
