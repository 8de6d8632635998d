# Ours: feature similarity where labels are not reliable, beside the noise-aware loss (stage 3).
_base_ = '../bana/deeplabv1_vgg16_voc.py'
model = dict(
    decode_head=dict(
        head=dict(
            loss_decode=[
                dict(type='bana_mm.NoiseAwareLoss', balance=0.1),
                dict(type='bana_mm.SegFeatureSimilarityLoss', balance=0.1),
            ]
        )
    )
)
train_dataloader = dict(
    dataset=dict(
        pipeline=dict(
            order=('load', 'labels', 'resize', 'crop', 'flip', 'colours', 'color', 'pack'),
            colours=dict(type='bana_mm.KeepColours'),
        )
    )
)
