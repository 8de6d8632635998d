# CondInst on the labels of mask-rcnn_r101_fpn_coco2coco.py, with the dice loss on the reliable region (ours).
_base_ = [
    '../_base_/models/condinst_r50_fpn.py',
    '../_base_/datasets/coco_pseudo_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime_instance.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.01))
