# A recipe for two CPU cores: small crops and few iterations, on the labels of bap_vgg16_voc_cpu.py.
_base_ = 'deeplabv2_r101_voc.py'
crop_size = (225, 225)
label_dir = '{{$LABEL_DIR:work_dirs/bap_vgg16_voc_cpu/labels}}'
pseudo_labels = dict(config='configs/bana/bap_vgg16_voc_cpu.py', dir=label_dir)
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(label_dir=label_dir)
train_pipeline[3].update(crop_size=crop_size)
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)
model = dict(data_preprocessor=dict(size=crop_size))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=300, by_epoch=False)]
train_cfg = dict(max_iters=300, val_interval=300)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=100))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
