# Table 5, Y_ret: 72.4 mIoU on VOC val. Y_ret alone: every label counts as reliable.
_base_ = 'deeplabv2_r101_cocoinit_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_ret',))))
