# BoxInst, to compare with the Mask R-CNNs: same backbone, schedule and images, and the boxes of the same JSON, whose
# masks it does not read. Needs scikit-image. The JSON is made as for mask-rcnn_r101_fpn_coco2coco.py; as the boxes are
# those of COCO, LABEL_JSON=data/coco/annotations/instances_train2017.json gives the same training.
_base_ = [
    '../_base_/models/boxinst_r101_fpn.py',
    '../_base_/datasets/coco_pseudo_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime_instance.py',
]
train_dataloader = dict(dataset=dict(pipeline=dict(masks=dict(with_mask=False), unreliable=None)))
optim_wrapper = dict(optimizer=dict(lr=0.01))
