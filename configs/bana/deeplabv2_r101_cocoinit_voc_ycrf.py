# Table 5, Y_crf: 74.0 mIoU on VOC val. Y_crf alone: every label counts as reliable.
_base_ = 'deeplabv2_r101_cocoinit_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_crf',))))
