# Table 6, VOC-to-COCO: 16.9 mask AP on COCO's test set. Mask R-CNN on the labels that the VOC classifier makes of
# COCO's boxes, 60 of whose classes it has not seen:
#   python tools/train.py configs/bana/bap_vgg16_voc.py
#   python tools/generate_labels.py configs/bana/bap_vgg16_voc.py work_dirs/bap_vgg16_voc/iter_8000.pth \
#       --coco data/coco/annotations/instances_train2017.json --out work_dirs/bap_vgg16_voc/labels_train2017.json
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
train_dataloader = dict(
    dataset=dict(
        pseudo_labels=dict(
            config='configs/bana/bap_vgg16_voc.py',
            json='{{$LABEL_JSON:work_dirs/bap_vgg16_voc/labels_train2017.json}}',
        )
    )
)
