# Plain average pooling, as in gap_vgg16_voc.py, on two CPU cores.
_base_ = 'bap_vgg16_voc_cpu.py'
model = dict(bap_head=dict(pooling='gap'))
