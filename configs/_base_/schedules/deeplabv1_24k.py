# 23,805 iterations of batch 20 are 45 epochs of train_aug (paper). Reference code: 1e-3, 1e-2 for the classifier and
# other new layers, biases twice that and without decay.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='bana_mm.NewLayersOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        bias_lr_mult=2.0, bias_decay_mult=0.0, new_layer_lr_mult=10.0, custom_keys={'decode_head': dict(lr_mult=10.0)}
    ),
)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=23805, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=23805, val_interval=4761)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=20)
