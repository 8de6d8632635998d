# The classifier of stage 1 on timm's ConvNeXt-T at stride 16, through mmseg's wrapper (pip install timm, which needs a
# torchvision that fits torch). Any model of timm with features_only and output_stride goes the same way.
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/voc_box.py',
    '../_base_/schedules/classifier_8k_adamw.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='mmseg.TIMMBackbone',
        model_name='convnext_tiny.fb_in1k',
        features_only=True,
        pretrained=True,
        output_stride=16,
        out_indices=(3,),
        drop_path_rate=0.2,
    ),
    bap_head=dict(in_channels=768, stride=16),
)
