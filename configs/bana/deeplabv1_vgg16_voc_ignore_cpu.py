# Unreliable pixels are ignored, on two CPU cores: the baseline of paper Table 3.
_base_ = 'deeplabv1_vgg16_voc_cpu.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(balance=0.0))))
