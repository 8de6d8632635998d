# Ours: visual words of what lies inside boxes and is no background, as further labels of a box classifier.
_base_ = '../bana/bap_vgg16_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.VisualWordLoss', num_words=256, max_attention=0.5)])
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'dense_losses': dict(lr_mult=10.0)}))
