# DeepLab-V1 with full supervision: the masks of all training images, the upper bound.
_base_ = 'deeplabv1_vgg16_voc.py'
pseudo_labels = None
train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='LoadAnnotations')
train_dataloader = dict(dataset=dict(require_masks=True, pipeline=train_pipeline))
