# mask-rcnn_r101_fpn_coco2coco.py with the smaller ResNet-50, on the same labels.
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
model = dict(
    backbone=dict(
        depth=50,
        init_cfg=dict(checkpoint='{{$TV_R50_WEIGHTS:https://download.pytorch.org/models/resnet50-0676ba61.pth}}'),
    )
)
