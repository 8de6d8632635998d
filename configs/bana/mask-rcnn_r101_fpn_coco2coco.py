# Table 6, COCO-to-COCO: 22.2 mask AP on COCO's test set. Mask R-CNN on the labels that the COCO classifier makes of
# COCO's boxes:
#   python tools/train.py configs/bana/bap_vgg16_coco.py
#   python tools/generate_labels.py configs/bana/bap_vgg16_coco.py work_dirs/bap_vgg16_coco/iter_90000.pth \
#       --coco data/coco/annotations/instances_train2017.json --out work_dirs/bap_vgg16_coco/labels_train2017.json
_base_ = [
    '../_base_/models/mask-rcnn_r101_fpn.py',
    '../_base_/datasets/coco_pseudo_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime_instance.py',
]
