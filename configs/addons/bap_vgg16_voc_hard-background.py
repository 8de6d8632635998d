# Ours: positions of the background that look most like an object teach the background class too.
_base_ = '../bana/bap_vgg16_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.HardBackgroundLoss', loss_weight=0.2)])
