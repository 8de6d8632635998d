# Mask R-CNN on the labels that the VOC classifier makes of COCO's boxes, 60 of whose classes it has not seen (paper
# Table 6, VOC-to-COCO). The labels:
#   python tools/train.py configs/bana/bap_vgg16_voc.py
#   python tools/generate_labels.py configs/bana/bap_vgg16_voc.py work_dirs/bap_vgg16_voc/iter_8000.pth \
#       --coco data/coco/annotations/instances_train2017.json --out work_dirs/bap_vgg16_voc/labels_train2017.json
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
label_json = '{{$LABEL_JSON:work_dirs/bap_vgg16_voc/labels_train2017.json}}'
pseudo_labels = dict(config='configs/bana/bap_vgg16_voc.py', json=label_json)
train_dataloader = dict(dataset=dict(ann_file=label_json, made_by=pseudo_labels))
