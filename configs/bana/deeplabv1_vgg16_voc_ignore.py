# Unreliable pixels are ignored: the baseline of paper Table 3.
_base_ = 'deeplabv1_vgg16_voc.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(balance=0.0))))
