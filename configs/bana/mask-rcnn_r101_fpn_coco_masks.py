# Table 6, full supervision: 35.7 mask AP on COCO's test set. Mask R-CNN on COCO's own masks, all of them reliable.
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
train_dataloader = dict(
    dataset=dict(ann_file=_base_.data_root + '/annotations/instances_train2017.json', pseudo_labels=None)
)
