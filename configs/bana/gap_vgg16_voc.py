# Table 1, GAP: 75.5 (train) and 76.1 (val) mIoU. The paper's baseline: plain average pooling of the boxes.
_base_ = 'bap_vgg16_voc.py'
# Its labels take the background classifier's activation map for u_0.
model = dict(bap_head=dict(pooling='gap'), label_recipe=dict(recipe='paper', background='cam'))
