# Table 4, Y_crf: 67.8 mIoU on VOC val with eight views and CRF. Y_crf alone: every label counts as reliable.
_base_ = 'deeplabv1_vgg16_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(maps=('Y_crf',))))
