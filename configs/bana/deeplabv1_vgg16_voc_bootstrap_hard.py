# Table 3, bootstrapping: 61.9 mIoU on VOC val, 67.6 with eight views and CRF. The most probable class of unreliable
# pixels is their label; the paper names neither soft nor hard bootstrapping.
_base_ = 'deeplabv1_vgg16_voc.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(type='bana_mm.BootstrappingLoss', mode='hard'))))
