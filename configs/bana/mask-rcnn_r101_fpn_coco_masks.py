# Full supervision: mask-rcnn_r101_fpn_coco2coco.py on COCO's own masks, all of them reliable.
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
pseudo_labels = None
train_dataloader = dict(dataset=dict(ann_file=_base_.data_root + '/annotations/instances_train2017.json', made_by=None))
