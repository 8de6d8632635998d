# Runtime of everything on mmdet's data flow: the classifier and its labels.
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
default_scope = 'mmdet'
env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
# stop at once where the model has another number of classes than the data, and when the loss is NaN; warn of classes
# that are learnt as boxes or not at all
custom_hooks = [
    dict(type='bana_mm.NumClassesHook'),
    dict(type='bana_mm.FiniteLossHook'),
    dict(type='bana_mm.CollapseHook'),
]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=13)
