# SEAM, published with a ResNet-38d: 64.5 (val) and 65.7 (test) mIoU of the segmentation that followed from it.
_base_ = 'cam_r50-s8_voc.py'
model = dict(
    type='bana_mm.SEAMClassifier',
    # pixels are compared by the outputs of layer2 and layer3, and by their colours
    backbone=dict(out_indices=(1, 2, 3)),
    correlation=dict(in_channels=(512, 1024), channels=(64, 128), out_channels=192),
    scale=0.3,
)
