# VWL-L: 57.3 (train) and 56.9 (val) mIoU of the activation maps. The codebook is learnt, and its words kept apart.
_base_ = 'vwe-hspp_r50_voc.py'
model = dict(
    backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')),
    dense_losses=[dict(type='bana_mm.VisualWordLoss', num_words=256, decorrelation=1.0)],
    activations=dict(level=0.13),
)
val_evaluator = dict(levels=(0.13,))
test_evaluator = val_evaluator
