# Ours: feature similarity of the masks of all positive proposals.
_base_ = '../bana/mask-rcnn_r101_fpn_coco2coco.py'
model = dict(roi_head=dict(mask_head=dict(feature_similarity=dict(loss_weight=0.1))))
train_dataloader = dict(
    dataset=dict(
        pipeline=dict(
            order=('load', 'check', 'masks', 'unreliable', 'resize', 'flip', 'colours', 'pack'),
            colours=dict(type='bana_mm.KeepColours'),
            pack=dict(type='bana_mm.PackBoxDetInputs'),
        )
    )
)
