# deeplabv3plus_r50_voc.py where some images have true masks: those that the list names take them, the others labels.
_base_ = 'deeplabv3plus_r50_voc.py'
train_dataloader = dict(dataset=dict(pseudo_labels=dict(mask_split='ImageSets/Segmentation/train.txt')))
