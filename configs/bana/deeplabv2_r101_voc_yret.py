# DeepLab-V2 on Y_ret alone: every label counts as reliable (paper Table 5, there from COCO).
_base_ = 'deeplabv2_r101_voc.py'
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(maps=('Y_ret',))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
