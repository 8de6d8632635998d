# Table 3, entropy regularisation: 61.4 mIoU on VOC val, 67.3 with eight views and CRF. It acts on unreliable pixels.
_base_ = 'deeplabv1_vgg16_voc.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(type='bana_mm.EntropyLoss'))))
