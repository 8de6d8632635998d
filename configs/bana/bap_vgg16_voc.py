_base_ = [
    '../_base_/models/bap_vgg16.py', '../_base_/datasets/voc_box.py', '../_base_/schedules/classifier_8k.py',
    '../_base_/default_runtime_det.py'
]
