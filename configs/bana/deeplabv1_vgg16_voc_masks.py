# Table 4, full supervision of DeepLab-V1: the masks of all training images, the upper bound. The paper has no figure.
_base_ = 'deeplabv1_vgg16_voc.py'
train_dataloader = dict(
    dataset=dict(
        require_masks=True, pseudo_labels=None, pipeline=dict(labels=dict(_delete_=True, type='LoadAnnotations'))
    )
)
