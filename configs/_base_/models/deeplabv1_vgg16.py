# DeepLab-V1 (LargeFOV) with a cosine classifier and the noise-aware loss (paper Sec. 3.3).
model = dict(
    type='EncoderDecoder',
    # Caffe's convention: BGR in 0..255 minus the mean
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[103.939, 116.779, 123.68],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_val=0,
        seg_pad_val=255,
        size=(321, 321),
    ),
    backbone=dict(
        type='bana_mm.VGG16LargeFOV', fc6_dilation=12, pretrained='{{$VGG16_WEIGHTS:open-mmlab://vgg16_caffe}}'
    ),
    decode_head=dict(
        type='bana_mm.CosineDecodeHead',
        temperature=20.0,
        # fc7 is classified as it is; its dropout is the backbone's
        head=dict(
            type='FCNHead',
            in_channels=1024,
            in_index=0,
            channels=1024,
            num_convs=0,
            kernel_size=1,
            concat_input=False,
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
