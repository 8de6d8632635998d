# Table 4, Y_ret: 66.1 mIoU on VOC val with eight views and CRF. Y_ret alone: every label counts as reliable.
_base_ = 'deeplabv1_vgg16_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_ret',))))
