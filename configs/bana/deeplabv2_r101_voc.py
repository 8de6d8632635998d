# Table 5, NAL, but from ImageNet's weights: [Re] has 70.8 mIoU on VOC val with CRF, 71.7 on test; the paper starts from
# COCO (deeplabv2_r101_cocoinit_voc.py). DeepLab-V2 on the labels of bap_vgg16_voc.py with the noise-aware loss.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/voc_pseudo.py',
    '../_base_/schedules/deeplabv2_20k.py',
    '../_base_/default_runtime_seg.py',
]
train_dataloader = dict(batch_size=10)
test_evaluator = dict(crf=dict(bilateral=(4, 67, 3), gaussian=(3, 1), iterations=10))
