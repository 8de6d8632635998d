# Entropy regularisation of unreliable pixels, on two CPU cores (paper Table 3).
_base_ = 'deeplabv1_vgg16_voc_cpu.py'
model = dict(decode_head=dict(head=dict(loss_decode=dict(type='bana_mm.EntropyLoss'))))
