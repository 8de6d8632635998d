# mmdet's BoxInst, the weakly supervised baseline: CondInst that learns masks from boxes and colours only. It needs
# scikit-image (pip install scikit-image).
_base_ = 'condinst_r50_fpn.py'
model = dict(
    type='BoxInst',
    data_preprocessor=dict(
        type='BoxInstDataPreprocessor',
        pad_mask=False,
        mask_stride=4,
        pairwise_size=3,
        pairwise_dilation=2,
        pairwise_color_thresh=0.3,
        bottom_pixels_removed=10,
    ),
    backbone=dict(
        depth=101,
        init_cfg=dict(checkpoint='{{$TV_R101_WEIGHTS:https://download.pytorch.org/models/resnet101-63fe2227.pth}}'),
    ),
    bbox_head=dict(type='BoxInstBboxHead', num_params=593),
    mask_head=dict(
        type='BoxInstMaskHead',
        feat_channels=16,
        max_masks_to_train=-1,
        topk_masks_per_img=64,
        mask_feature_head=dict(out_channels=16),
    ),
)
