# 10,576 iterations of batch 8 are 8 epochs of train_aug (reference code). Momentum: see image_classifier_4k.py.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.0, weight_decay=5e-4),
    paramwise_cfg=dict(
        custom_keys={
            'head': dict(lr_mult=10.0),
            'dense_losses': dict(lr_mult=10.0),
            'correlation': dict(lr_mult=10.0),
        }
    ),
)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=10576, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10576, val_interval=10576)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)
