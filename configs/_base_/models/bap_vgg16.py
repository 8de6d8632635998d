# The classifier of stage 1 (paper Sec. 3.1 and 4.1).
model = dict(
    type='bana_mm.BoxClassifier',
    # Caffe's convention: BGR in 0..255 minus the mean
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[103.939, 116.779, 123.68], std=[1.0, 1.0, 1.0], bgr_to_rgb=False
    ),
    backbone=dict(
        type='bana_mm.VGG16LargeFOV', fc6_dilation=1, pretrained='{{$VGG16_WEIGHTS:open-mmlab://vgg16_caffe}}'
    ),
    bap_head=dict(
        type='bana_mm.BAPHead',
        num_classes=20,
        in_channels=1024,
        stride=8,
        pooling='bap',
        grid_size=4,
        # The next two are the reference code's; the paper pools a box into one vector (1) and has no minimum (0.)
        output_size=2,
        min_background=0.125,
    ),
    # Stage 2 (paper Sec. 3.2): 'bana_mm' is ours, 'paper' the published recipe. Single fields of it may be set beside
    # the name; bana_mm/structures/label_recipe.py lists them.
    label_recipe=dict(recipe='bana_mm'),
)
