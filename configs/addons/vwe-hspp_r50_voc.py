# Visual words, table b, VWE and HSPP: 52.9 (train) and 52.0 (val) mIoU of the activation maps.
_base_ = 'vwe_r50_voc.py'
model = dict(head=dict(pooling='hspp', gamma=2.0))
