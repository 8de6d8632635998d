# DeepLab-V1 on Y_crf alone: every label counts as reliable (paper Table 4).
_base_ = 'deeplabv1_vgg16_voc.py'
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(maps=('Y_crf',))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
