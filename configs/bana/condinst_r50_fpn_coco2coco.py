# CondInst on the labels of mask-rcnn_r101_fpn_coco2coco.py, with the dice loss on the reliable region (ours).
_base_ = [
    '../_base_/models/condinst_r50_fpn.py',
    '../_base_/datasets/coco_pseudo_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime_instance.py',
]
pseudo_labels = dict(
    config='configs/bana/bap_vgg16_coco.py',
    checkpoint=None,
    json=_base_.label_json,
    boxes=_base_.data_root + '/annotations/instances_train2017.json',
)
train_dataloader = dict(dataset=dict(made_by=pseudo_labels))
optim_wrapper = dict(optimizer=dict(lr=0.01))
