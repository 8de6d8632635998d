# Mask R-CNN on the labels that the COCO classifier makes of COCO's boxes (paper Table 6, COCO-to-COCO).
# The labels:
#   python tools/train.py configs/bana/bap_vgg16_coco.py
#   python tools/generate_labels.py configs/bana/bap_vgg16_coco.py work_dirs/bap_vgg16_coco/iter_90000.pth \
#       --coco data/coco/annotations/instances_train2017.json --out work_dirs/bap_vgg16_coco/labels_train2017.json
_base_ = [
    '../_base_/models/mask-rcnn_r101_fpn.py',
    '../_base_/datasets/coco_pseudo_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime_instance.py',
]
# Where the labels come from. Without a checkpoint it is the last one of a training with that config.
pseudo_labels = dict(
    config='configs/bana/bap_vgg16_coco.py',
    checkpoint=None,
    json=_base_.label_json,
    boxes=_base_.data_root + '/annotations/instances_train2017.json',
)
train_dataloader = dict(dataset=dict(made_by=pseudo_labels))
