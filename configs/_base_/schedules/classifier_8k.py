# 8,000 iterations of batch 20 are 15 epochs of train_aug.
# Reference code: 1e-3 for pre-trained and 1e-2 for new layers (the paper's text says 1e-4 and 1e-3), biases twice that
# and without decay, divided by 10 after 5,000 iterations (paper: after 10 of 15 epochs).
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='bana_mm.NewLayersOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2.0, bias_decay_mult=0.0, new_layer_lr_mult=10.0, custom_keys={'bap_head': dict(lr_mult=10.0)}
    ),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[5000], gamma=0.1)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=8000, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=20)
