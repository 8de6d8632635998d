# BoxInst, to compare with the Mask R-CNNs: same backbone, schedule and images, and the boxes of the same JSON, whose
# masks it does not read. Needs scikit-image. The JSON is made as for mask-rcnn_r101_fpn_coco2coco.py; as the boxes are
# those of COCO, LABEL_JSON=data/coco/annotations/instances_train2017.json gives the same training.
_base_ = [
    '../_base_/models/boxinst_r101_fpn.py',
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
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline.pop(3)
train_dataloader = dict(dataset=dict(made_by=pseudo_labels, pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.01))
