# Table 5, full supervision of DeepLab-V2 from ImageNet: the masks of all training images, the upper bound.
# The paper has no figure.
_base_ = 'deeplabv2_r101_voc.py'
train_dataloader = dict(
    dataset=dict(
        require_masks=True, pseudo_labels=None, pipeline=dict(labels=dict(_delete_=True, type='LoadAnnotations'))
    )
)
