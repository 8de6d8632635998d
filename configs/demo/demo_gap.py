# Plain average pooling; its labels take the background classifier's activation map for u_0.
_base_ = 'demo_bap.py'
work_dir = _base_.root + '/gap'
model = dict(bap_head=dict(pooling='gap'), label_recipe=dict(background='cam'))
