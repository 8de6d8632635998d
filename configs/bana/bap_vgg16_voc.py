# The classifier of stage 1 with background-aware pooling, and the labels it makes (paper Tables 1 and 2).
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/voc_box.py',
    '../_base_/schedules/classifier_8k.py',
    '../_base_/default_runtime_det.py',
]
