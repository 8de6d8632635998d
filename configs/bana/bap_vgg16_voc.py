# Table 1, BAP (mIoU, train): Y_crf 78.7, without u_0 77.0, Y_ret 70.8, both 85.3; Table 2, VOC-to-COCO (AP): 11.7, 9.0.
# The classifier of stage 1 with background-aware pooling, and the labels it makes.
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/voc_box.py',
    '../_base_/schedules/classifier_8k.py',
    '../_base_/default_runtime_det.py',
]
