# Table 5, 1,464 masks: 78.7 mIoU on VOC val, 79.4 on test. The images of train.txt take their masks, the others labels.
_base_ = 'deeplabv2_r101_cocoinit_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(mask_split='ImageSets/Segmentation/train.txt')))
