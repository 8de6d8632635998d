# Whole boxes as labels, the smallest in front.
_base_ = 'demo_ce.py'
work_dir = _base_.root + '/box'
train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='bana_mm.BoxPseudoLabel', source='box')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
