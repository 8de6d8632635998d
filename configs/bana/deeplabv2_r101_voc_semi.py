# Semi-supervised: images of train.txt take their masks, the others labels (paper Table 5, there from COCO).
_base_ = 'deeplabv2_r101_voc.py'
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(mask_split=_base_.data_root + '/ImageSets/Segmentation/train.txt')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
