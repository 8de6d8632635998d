# Table 4, 1,464 masks: 70.5 mIoU on VOC val with eight views and CRF, 71.5 on test.
# The images of train.txt take their masks, the others labels.
_base_ = 'deeplabv1_vgg16_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(mask_split='ImageSets/Segmentation/train.txt')))
