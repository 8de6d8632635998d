# VWL-M: 56.9 (train) and 56.4 (val) mIoU of the activation maps. The codebook follows the means of its words.
_base_ = 'vwl-l_r101_voc.py'
model = dict(
    backbone=dict(frozen_stages=0),
    dense_losses=[dict(type='bana_mm.VisualWordLoss', num_words=256, codebook='averaged', momentum=1e-3)],
)
