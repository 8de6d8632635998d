# Table 5, Y_ret, but from ImageNet's weights: [Re] has 70.2 mIoU on VOC val with CRF.
# Y_ret alone: every label counts as reliable.
_base_ = 'deeplabv2_r101_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_ret',))))
