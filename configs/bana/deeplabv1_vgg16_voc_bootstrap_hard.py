# Bootstrapping with the most probable class of unreliable pixels (paper Table 3).
_base_ = 'deeplabv1_vgg16_voc.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(type='bana_mm.BootstrappingLoss', mode='hard'))))
