# Table 5, Y_crf, but from ImageNet's weights: [Re] has 67.0 mIoU on VOC val with CRF.
# Y_crf alone: every label counts as reliable.
_base_ = 'deeplabv2_r101_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_crf',))))
