# Y_crf as it is, with plain cross entropy.
_base_ = 'demo_nal.py'
work_dir = _base_.root + '/ce'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_crf',))))
model = dict(decode_head=dict(head=dict(loss_decode=dict(_delete_=True, type='CrossEntropyLoss'))))
