# Table 5, 1,464 masks, but from ImageNet's weights: no figure is published.
# The images of train.txt take their masks, the others labels.
_base_ = 'deeplabv2_r101_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(mask_split='ImageSets/Segmentation/train.txt')))
