# Runtime of the models of instances: as for all of mmdet's data flow, but counted in epochs.
_base_ = 'default_runtime_det.py'
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=2),
    visualization=dict(type='DetVisualizationHook'),
)
log_processor = dict(by_epoch=True)
