# Visual words, table b, HSPP: 50.6 (train) and 50.0 (val) mIoU of the activation maps.
_base_ = 'cam_r50_voc.py'
model = dict(head=dict(pooling='hspp', gamma=2.0))
