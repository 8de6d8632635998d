# The full masks: what a segmentation model of this size can reach.
_base_ = 'demo_ce.py'
work_dir = _base_.root + '/masks'
train_dataloader = dict(
    dataset=dict(pseudo_labels=None, pipeline=dict(labels=dict(_delete_=True, type='LoadAnnotations')))
)
