# Ours: boxes pooled by the mean of background-aware pooling and of local maxima of what is no background.
_base_ = '../bana/bap_vgg16_voc.py'
model = dict(bap_head=dict(pooling='hspp'))
