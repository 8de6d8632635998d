# Whole boxes as labels, the smallest in front.
_base_ = 'demo_ce.py'
work_dir = _base_.root + '/box'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(_delete_=True, source='box')))
