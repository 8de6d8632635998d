# The full masks: what a segmentation model of this size can reach.
_base_ = 'demo_ce.py'
work_dir = _base_.root + '/masks'
train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='LoadAnnotations')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
