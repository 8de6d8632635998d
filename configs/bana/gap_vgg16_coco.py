# Plain average pooling of the boxes, as in gap_vgg16_voc.py.
_base_ = 'bap_vgg16_coco.py'
# Its labels take the background classifier's activation map for u_0.
model = dict(bap_head=dict(pooling='gap'), label_recipe=dict(recipe='paper', background='cam'))
