# Table 3, L_wce (NAL): 62.4 mIoU on VOC val, 68.1 with eight views and CRF; Table 4, NAL: the same, and 69.4 on test.
# DeepLab-V1 on the labels of bap_vgg16_voc.py with the noise-aware loss.
_base_ = [
    '../_base_/models/deeplabv1_vgg16.py',
    '../_base_/datasets/voc_pseudo.py',
    '../_base_/schedules/deeplabv1_24k.py',
    '../_base_/default_runtime_seg.py',
]
test_evaluator = dict(crf=dict(bilateral=(4, 121, 5), gaussian=(3, 3), iterations=10))
