# The classifier of stage 1 on mmseg's ResNet-50 at stride 8, in place of VGG-16.
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/voc_box.py',
    '../_base_/schedules/classifier_8k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    # the last two stages are dilated instead of strided; batch norm keeps its statistics
    backbone=dict(
        _delete_=True,
        type='mmseg.ResNetV1c',
        depth=50,
        num_stages=4,
        out_indices=(3,),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'),
    ),
    bap_head=dict(in_channels=2048, stride=8),
)
