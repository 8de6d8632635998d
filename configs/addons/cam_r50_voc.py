# Visual words, table b, baseline: 48.3 (train) and 47.0 (val) mIoU of the activation maps.
# A classifier of images with global average pooling.
_base_ = [
    '../_base_/models/cam_r50.py',
    '../_base_/datasets/voc_image_labels.py',
    '../_base_/schedules/image_classifier_4k.py',
    '../_base_/default_runtime_det.py',
]
