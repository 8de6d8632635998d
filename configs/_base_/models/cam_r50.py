# A classifier of images at output stride 16, whose activation maps become labels (visual words).
model = dict(
    type='bana_mm.ImageClassifier',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        # crops are filled up with the mean colour, which counts as image (reference code)
        batch_augments=[dict(type='BatchFixedSizePad', size=(512, 512))],
    ),
    # Statistics of all batch norms stay as they are; nothing up to layer2 is trained.
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(3,),
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 1),
        frozen_stages=2,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    head=dict(type='bana_mm.ImageHead', num_classes=20, in_channels=2048, pooling='gap'),
    stride=16,
    # Four scales and their mirror images; `level` is the score of the background, `crf_level` the same in the CRF.
    # bana_mm/structures/activation_recipe.py lists all fields.
    activations=dict(scales=(1.0, 0.5, 1.5, 2.0), level=0.14, crf_level=0.15),
)
