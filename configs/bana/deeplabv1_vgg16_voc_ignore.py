# Table 3, baseline: 61.8 mIoU on VOC val, 67.5 with eight views and CRF. Unreliable pixels are ignored.
_base_ = 'deeplabv1_vgg16_voc.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(balance=0.0))))
