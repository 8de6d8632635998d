# Plain average pooling of the boxes: the paper's baseline "GAP" (Table 1).
_base_ = 'bap_vgg16_voc.py'
model = dict(bap_head=dict(pooling='gap'))
