# A recipe for two CPU cores: small crops and few iterations, as in bap_vgg16_voc_cpu.py.
_base_ = 'bap_vgg16_coco.py'
crop_size = (225, 225)
train_dataloader = dict(batch_size=8, num_workers=1)
train_pipeline = _base_.train_pipeline
train_pipeline[4].update(crop_size=crop_size)
train_dataloader.update(dataset=dict(pipeline=train_pipeline))
# So few iterations of small batches need the paper's learning rates: 1e-4 and, for new layers, 1e-3.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = []
train_cfg = dict(max_iters=420, val_interval=420)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=100))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
model = dict(backbone=dict(channels_last=True))
