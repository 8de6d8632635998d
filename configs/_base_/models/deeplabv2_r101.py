# DeepLab-V2 with a cosine classifier and the noise-aware loss (paper Sec. 3.3).
norm_cfg = dict(type='BN', requires_grad=False)
model = dict(
    type='EncoderDecoder',
    # Caffe's convention: BGR in 0..255 minus the mean
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_val=0,
        seg_pad_val=255,
        size=(321, 321),
    ),
    # Stride 8, with the stride in the 1x1 convolutions and the stem's pooling as in Caffe. ImageNet weights;
    # deeplabv2_r101_cocoinit_voc.py starts from COCO. BN is frozen, because batches of 10 give poor statistics:
    # norm_eval holds the mean and the variance, requires_grad=False in norm_cfg the scale and the shift.
    # norm_eval=False with requires_grad=True trains all of it.
    backbone=dict(
        type='bana_mm.DeepLabResNet',
        depth=101,
        out_indices=(3,),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        style='caffe',
        norm_cfg=norm_cfg,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{{$R101_WEIGHTS:open-mmlab://detectron2/resnet101_caffe}}'),
    ),
    decode_head=dict(
        type='bana_mm.CosineDecodeHead',
        temperature=20.0,
        head=dict(
            type='bana_mm.ASPPSumHead',
            in_channels=2048,
            in_index=0,
            channels=256,
            dilations=(6, 12, 18, 24),
            dropout_ratio=0,
            num_classes=21,
            align_corners=True,
            # What to do where labels are not reliable (paper Table 3) is the loss's type: bana_mm.NoiseAwareLoss,
            # EntropyLoss or BootstrappingLoss; balance=0 ignores these pixels. detach_confidence=True is the other
            # reading of the paper, which does not say.
            loss_decode=dict(type='bana_mm.NoiseAwareLoss', balance=0.1),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
