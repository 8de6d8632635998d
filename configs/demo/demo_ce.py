# Y_crf as it is, with plain cross entropy.
_base_ = 'demo_nal.py'
work_dir = _base_.root + '/ce'
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(maps=('Y_crf',))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(decode_head=dict(head=dict(loss_decode=dict(_delete_=True, type='CrossEntropyLoss'))))
