# 3,966 iterations of batch 16 are 6 epochs of train_aug (reference code).
# That code means to train with momentum 0.9, but hands the weight decay over in its place: there was none. With
# momentum 0.9 these learning rates are ten times as hot.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.0, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0), 'dense_losses': dict(lr_mult=10.0)}),
)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=3966, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=3966, val_interval=3966)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
