# The classifier of stage 1 on mmseg's Swin-T at stride 16.
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/voc_box.py',
    '../_base_/schedules/classifier_8k_adamw.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    # the last stage merges patches without a stride, so that its features are as fine as those of the third
    backbone=dict(
        _delete_=True,
        type='mmseg.SwinTransformer',
        pretrain_img_size=224,
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        strides=(4, 2, 2, 1),
        out_indices=(3,),
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
        ),
    ),
    bap_head=dict(in_channels=768, stride=16),
)
